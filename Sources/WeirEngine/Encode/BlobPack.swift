import WeirCore
import WeirProtocol

/// The blobs of one entry, in one object.
struct BlobPack {
  let path: String
  private(set) var bytes: [UInt8] = []

  /// - Parameter bytes: about how many there will be.
  init(path: String, bytes: Int = 0) {
    self.path = path
    self.bytes.reserveCapacity(bytes)
  }

  mutating func add(_ blob: [UInt8]) -> BlobRef {
    let ref = BlobRef(path: path, offset: Int64(bytes.count), length: Int64(blob.count), hash: ContentHash(of: blob).hex)
    bytes += blob
    return ref
  }

  /// A lane's state: a new base, or a delta on what the lane had before.
  mutating func add(state blob: [UInt8], isBase: Bool, before: StateRef?) -> StateRef {
    let ref = add(blob)
    guard !isBase, let before else { return StateRef(base: ref) }
    return StateRef(base: before.base, deltas: before.deltas + [ref])
  }

  var object: NewObject { NewObject(path: path, bytes: bytes) }
}
