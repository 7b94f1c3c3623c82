import CWeirPrefetch
import WeirCore

/// Encodes strings and binary: by a dictionary while it pays, else DELTA_LENGTH_BYTE_ARRAY (all lengths, then all
/// bytes), which compresses better than PLAIN with its lengths between the values.
final class BytesEncoder: ValueEncoder {
  /// A longer value would make a page larger than readers take.
  private static let longest = 1 << 30
  /// Values between asking for a cache line and using it.
  private static let ahead = 16

  private let isText: Bool
  private var lengths = Buffer<Int64>(capacity: 1024)
  private var bytes = Buffer<UInt8>(capacity: 4096)
  private var indexes = Buffer<UInt32>(capacity: 1024)
  private var table = BytesTable()
  private var usesDictionary = true
  private(set) var openBytes = 0
  private var pagesWithDictionary = 0
  private var chunkValues = 0
  private var nextLook = DictionaryPolicy.firstLook
  private var page = BytesRange()
  private var chunk = BytesRange()
  private var file = BytesRange()
  private(set) var failure: String?

  init(leaf: Leaf) { isText = leaf.type == .string }

  var estimatedBytes: Int {
    let values = usesDictionary ? indexes.count * bitWidth(UInt64(table.count)) / 8 : lengths.count + bytes.count
    return values + table.plain.count
  }

  func weight(_ values: Column.Values, _ picks: Picks) -> Int {
    guard case .string(let v) = values else { return 0 }
    return v.withUnsafeBufferPointer { from in
      var total = 0
      for i in 0..<picks.count { total &+= from[Int(picks.start[i])].count }
      return total + 4 * picks.count
    }
  }

  func append(_ values: Column.Values, _ picks: Picks) {
    guard case .string(let v) = values else { preconditionFailure("the column's type is not the schema's") }
    guard picks.count > 0 else { return }
    v.withUnsafeBufferPointer { from in
      guard let base = from.baseAddress else { return }
      includeBounds(base, picks)
      if usesDictionary { appendIndexes(base, picks) } else { appendBytes(base, picks) }
    }
    chunkValues += picks.count
    openBytes += weight(values, picks)
  }

  private func appendIndexes(_ from: UnsafePointer<StringRef>, _ picks: Picks) {
    indexes.reserve(picks.count)
    let out = indexes.end
    for i in 0..<picks.count { out[i] = table.lookUp(from[Int(picks.start[i])]) }
    indexes.count += picks.count
  }

  private func appendBytes(_ from: UnsafePointer<StringRef>, _ picks: Picks) {
    var total = 0
    lengths.reserve(picks.count)
    let out = lengths.end
    for i in 0..<picks.count {
      let length = from[Int(picks.start[i])].count
      out[i] = Int64(length)
      total += length
    }
    lengths.count += picks.count
    bytes.reserve(total)
    var at = bytes.end
    for i in 0..<picks.count {
      let value = from[Int(picks.start[i])]
      at.update(from: value.start, count: value.count)
      at += value.count
    }
    bytes.count += total
  }

  /// Most values are settled by their first 8 bytes.
  private func includeBounds(_ from: UnsafePointer<StringRef>, _ picks: Picks) {
    var low = from[Int(picks.start[0])]
    var high = low
    var lowPrefix = low.prefix
    var highPrefix = lowPrefix
    var longest = 0
    for i in 0..<picks.count {
      // The values are in the records' text, mostly out of the caches: this pass is the first to touch them.
      if i + BytesEncoder.ahead < picks.count { weir_prefetch(from[Int(picks.start[i + BytesEncoder.ahead])].start) }
      let value = from[Int(picks.start[i])]
      let prefix = value.prefix
      longest = max(longest, value.count)
      if prefix <= lowPrefix && (prefix < lowPrefix || value < low) {
        low = value
        lowPrefix = prefix
      }
      if prefix >= highPrefix && (prefix > highPrefix || high < value) {
        high = value
        highPrefix = prefix
      }
    }
    if longest > BytesEncoder.longest { failure = "a value is longer than 1 GiB" }
    page.include(low: low, high: high)
  }

  // MARK: dictionary

  func endSlice() {
    guard usesDictionary else { return }
    if chunkValues >= nextLook {
      nextLook = nextLook < DictionaryPolicy.secondLook ? DictionaryPolicy.secondLook : Int.max
      if !DictionaryPolicy.isWorthIt(distinct: table.count, rows: chunkValues) { return abandonDictionary() }
    }
    if isTooLarge { abandonDictionary() }
  }

  private var isTooLarge: Bool { table.plain.count > DictionaryPolicy.maxBytes }

  private func abandonDictionary() {
    lengths.reserve(indexes.count)
    for i in 0..<indexes.count {
      let value = table[Int(indexes.base[i])]
      lengths.append(Int64(value.count))
      bytes.append(value.start, count: value.count)
    }
    indexes.removeAll()
    usesDictionary = false
    if pagesWithDictionary == 0 { table.removeAll() }
  }

  func settle() {
    if usesDictionary && pagesWithDictionary == 0 && table.count * 2 > chunkValues { abandonDictionary() }
  }

  func writeDictionary(into out: inout Buffer<UInt8>) -> Int? {
    guard pagesWithDictionary > 0 else { return nil }
    out.append(table.plain.base, count: table.plain.count)
    return table.count
  }

  // MARK: pages and chunks

  func closePage(into out: inout Buffer<UInt8>) -> (Encoding, EncodedStatistics) {
    if usesDictionary && isTooLarge { abandonDictionary() }
    let encoding = appendValues(to: &out)
    openBytes = 0
    let statistics = page.encoded(isText: isText)
    chunk.include(page)
    page = BytesRange()
    lengths.removeAll()
    bytes.removeAll()
    indexes.removeAll()
    return (encoding, statistics)
  }

  private func appendValues(to out: inout Buffer<UInt8>) -> Encoding {
    if usesDictionary && indexes.count > 0 {
      pagesWithDictionary += 1
      WeirParquet.appendIndexes(indexes.base, count: indexes.count, distinct: table.count, to: &out)
      return .rleDictionary
    }
    guard lengths.count > 0 else { return .plain }
    out.appendDelta(lengths.base, count: lengths.count)
    out.append(bytes.base, count: bytes.count)
    return .deltaLengthByteArray
  }

  func closeChunk() -> EncodedStatistics {
    let statistics = chunk.encoded(isText: isText)
    file.include(chunk)
    chunk = BytesRange()
    table.removeAll()
    usesDictionary = true
    pagesWithDictionary = 0
    chunkValues = 0
    nextLook = DictionaryPolicy.firstLook
    return statistics
  }

  func fileStatistics() -> ColumnStatistics {
    guard !file.isEmpty else { return ColumnStatistics(nullCount: 0, min: nil, max: nil) }
    return ColumnStatistics(nullCount: 0, min: literal(file.low), max: literal(file.high))
  }

  private func literal(_ bytes: [UInt8]) -> Literal {
    isText ? .string(String(decoding: bytes, as: UTF8.self)) : .binary(bytes)
  }
}
