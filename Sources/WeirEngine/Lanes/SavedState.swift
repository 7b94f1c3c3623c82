import WeirCore

/// What a lane has in blobs: a base snapshot and the deltas since. Decides which of the two comes next, and frames both.
struct SavedState {
  /// A chain is no longer than this, so that a restore reads few blobs.
  private static let deltasMax = 16

  private let version: UInt8
  private var baseBytes = 0
  private var deltaBytes = 0
  private var deltas = 0

  /// - Parameter version: of the format after the frame.
  init(version: UInt8) { self.version = version }

  /// One more blob. A base when the deltas since the last one have outgrown it, else a delta.
  /// - Parameters:
  ///   - live: entries that a base holds, and how many of them are in no blob yet.
  ///   - write: gets whether it is a base.
  mutating func save(live: Int, unsaved: Int, _ write: (Bool, inout ByteWriter) -> Void) -> (pieces: [[UInt8]], isBase: Bool) {
    let isBase = isBaseNext(live: live, unsaved: unsaved)
    var out = ByteWriter()
    out.write(version)
    out.write(UInt8(isBase ? 1 : 0))
    write(isBase, &out)
    if isBase {
      (baseBytes, deltaBytes, deltas) = (out.count, 0, 0)
    } else {
      deltaBytes += out.count
      deltas += 1
    }
    return (out.pieces, isBase)
  }

  /// Whether the next blob is a base: then it holds everything.
  func isBaseNext(live: Int, unsaved: Int) -> Bool {
    baseBytes == 0 || unsaved * 2 >= live || deltas >= SavedState.deltasMax || deltaBytes > baseBytes
  }

  /// Reads blobs as an entry names them: the base first, then deltas in order.
  mutating func restore(
    _ blobs: [[UInt8]], of lane: String, _ read: (inout ByteReader) throws(WeirError) -> Void
  ) throws(WeirError) {
    for (number, bytes) in blobs.enumerated() {
      var reader = ByteReader(bytes[...], what: "state blob \(number) of \(lane)")
      let found = try reader.read(UInt8.self)
      guard found == version else { throw reader.corrupt("its format version is \(found), this program reads \(version)") }
      let isBase = try reader.read(UInt8.self) == 1
      guard isBase == (number == 0) else { throw reader.corrupt("base and deltas are out of order") }
      try read(&reader)
      guard reader.isAtEnd else { throw reader.corrupt("it has extra bytes at its end") }
      if isBase { baseBytes = bytes.count } else { deltaBytes += bytes.count }
    }
    deltas = max(0, blobs.count - 1)
  }
}
