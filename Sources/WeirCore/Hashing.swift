import CWeirHash

/// A 128-bit hash. As the identity of a key or an id: two different ones collide with a chance of n²/2¹²⁹.
public struct Hash128: Hashable, Sendable, Comparable, BitwiseCopyable {
  public var low: UInt64
  public var high: UInt64

  @inlinable public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// XXH3-128 of bytes (xxHash 0.8, seed 0 unless given).
  @inlinable public init(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) {
    let h = weir_xxh3_128(bytes.baseAddress, bytes.count, seed)
    self.init(low: h.low, high: h.high)
  }

  @inlinable public init(_ string: StringRef, seed: UInt64 = 0) {
    let h = weir_xxh3_128(string.start, string.count, seed)
    self.init(low: h.low, high: h.high)
  }

  /// 32 lower-case hex digits, high half first.
  public var hex: String { hexDigits(high) + hexDigits(low) }

  /// Reads ``hex``.
  public init?(hex: String) {
    guard hex.utf8.count == 32, let high = UInt64(hex.prefix(16), radix: 16), let low = UInt64(hex.suffix(16), radix: 16)
    else { return nil }
    self.init(low: low, high: high)
  }

  public static func < (a: Hash128, b: Hash128) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

func hexDigits(_ x: UInt64) -> String {
  let s = String(x, radix: 16)
  return String(repeating: "0", count: 16 - s.utf8.count) + s
}

/// A running XXH3-128 over the bytes given so far.
public final class RunningHash {
  private let state: OpaquePointer

  public init() { state = weir_xxh3_create() }

  private init(copying other: RunningHash) { state = weir_xxh3_copy(other.state) }

  /// One that goes its own way from here.
  public func copy() -> RunningHash { RunningHash(copying: self) }

  deinit { weir_xxh3_free(state) }

  public func update(_ bytes: UnsafeRawBufferPointer) { weir_xxh3_update(state, bytes.baseAddress, bytes.count) }

  /// The hash of everything given so far; more may follow.
  public var digest: Hash128 {
    let h = weir_xxh3_digest(state)
    return Hash128(low: h.low, high: h.high)
  }
}

/// The hash of a capture's bytes before a block, to which the first bytes of the block can be added.
public final class HashBefore: @unchecked Sendable {
  // Unchecked: it is copied, and never changed.
  private let before: RunningHash

  public init(_ before: RunningHash) { self.before = before.copy() }

  /// The hash through the first `count` bytes of the block's text.
  public func hash(_ count: Int, of text: TextBuffer) -> Hash128 {
    let hash = before.copy()
    hash.update(UnsafeRawBufferPointer(start: text.base, count: count))
    return hash.digest
  }
}

/// SHA-256: the content hash of files, blobs and ledger entries.
public struct ContentHash: Hashable, Sendable {
  /// 64 lower-case hex digits.
  public let hex: String

  public init(of bytes: UnsafeRawBufferPointer) {
    var out = [UInt8](repeating: 0, count: 32)
    weir_sha256(bytes.baseAddress, bytes.count, &out)
    self.init(digest: out)
  }

  private init(digest: [UInt8]) { hex = digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

  public init(of bytes: [UInt8]) { self = bytes.withUnsafeBytes { ContentHash(of: $0) } }

  /// - Parameter pieces: one after the other.
  public init(of pieces: [[UInt8]]) {
    guard pieces.count != 1 else {
      self.init(of: pieces[0])
      return
    }
    let state = weir_sha256_create()
    for piece in pieces { piece.withUnsafeBytes { weir_sha256_update(state, $0.baseAddress, $0.count) } }
    var out = [UInt8](repeating: 0, count: 32)
    weir_sha256_finish(state, &out)
    self.init(digest: out)
  }

  public init(hex: String) { self.hex = hex }
}
