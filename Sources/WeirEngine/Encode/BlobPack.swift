import WeirCore
import WeirProtocol

/// The blobs of one entry, in one object.
struct BlobPack {
  let path: String
  /// Of all blobs, one after the other: each piece is held, none is copied.
  private var pieces: [[UInt8]] = []
  private var count: Int64 = 0

  init(path: String) { self.path = path }

  mutating func add(_ blob: [[UInt8]]) -> BlobRef {
    let length = blob.reduce(Int64(0)) { $0 + Int64($1.count) }
    let ref = BlobRef(path: path, offset: count, length: length, hash: ContentHash(of: blob).hex)
    pieces += blob
    count += length
    return ref
  }

  /// A lane's state: a new base, or a delta on what the lane had before.
  mutating func add(state blob: [[UInt8]], isBase: Bool, before: StateRef?) -> StateRef {
    let ref = add(blob)
    guard !isBase, let before else { return StateRef(base: ref) }
    return StateRef(base: before.base, deltas: before.deltas + [ref])
  }

  var object: NewObject { NewObject(path: path, pieces: pieces) }
}
