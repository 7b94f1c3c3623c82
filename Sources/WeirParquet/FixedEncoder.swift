import WeirCore

/// Encodes integers, timestamps, doubles and decimals: by a dictionary while it pays, else integers by
/// DELTA_BINARY_PACKED and the others PLAIN.
final class FixedEncoder<Value: FixedValue>: ValueEncoder {
  private let leaf: Leaf
  private let width: Int
  // Values of the open page without dictionary, else scratch for the values just gathered.
  private var open = Buffer<Value>(capacity: 1024)
  private var indexes = Buffer<UInt32>(capacity: 1024)
  private var table = ValueTable<Value>()
  private var usesDictionary = true
  private var pagesWithDictionary = 0
  private var chunkValues = 0
  private var nextLook = DictionaryPolicy.firstLook
  private var page = ValueRange<Value>()
  private var chunk = ValueRange<Value>()
  private var file = ValueRange<Value>()
  private(set) var failure: String?

  init(leaf: Leaf) {
    self.leaf = leaf
    width = leaf.width
  }

  var openBytes: Int { (usesDictionary ? indexes.count : open.count) * width }

  var estimatedBytes: Int {
    let values = usesDictionary ? indexes.count * bitWidth(UInt64(table.count)) / 8 : open.count * width
    return values + dictionaryBytes
  }

  private var dictionaryBytes: Int { table.count * width }

  func append(_ values: Column.Values, _ picks: Picks) {
    open.reserve(picks.count)
    let new = open.end
    gather(values, picks, into: new)
    page.include(new, count: picks.count)
    chunkValues += picks.count
    guard usesDictionary else {
      open.count += picks.count
      return
    }
    indexes.reserve(picks.count)
    table.lookUp(new, count: picks.count, into: indexes.end)
    indexes.count += picks.count
  }

  private func gather(_ values: Column.Values, _ picks: Picks, into out: UnsafeMutablePointer<Value>) {
    switch values {
    case .int64(let v):
      v.withUnsafeBufferPointer { from in take(from, picks, into: out) { unsafeBitCast($0, to: Value.self) } }
    case .double(let v):
      v.withUnsafeBufferPointer { from in take(from, picks, into: out) { unsafeBitCast($0, to: Value.self) } }
    case .decimal(let v) where Value.self == Int128.self:
      v.withUnsafeBufferPointer { from in take(from, picks, into: out) { unsafeBitCast($0, to: Value.self) } }
    case .decimal(let v):
      var isNarrow = true
      v.withUnsafeBufferPointer { from in
        take(from, picks, into: out) { wide in
          let narrow = Int64(truncatingIfNeeded: wide)
          isNarrow = isNarrow && Int128(narrow) == wide
          return unsafeBitCast(narrow, to: Value.self)
        }
      }
      if !isNarrow { failure = "a decimal has more digits than \(leaf.type.name) holds" }
    case .bool, .string: preconditionFailure("the column's type is not the schema's")
    }
  }

  @inline(__always) private func take<Source>(
    _ from: UnsafeBufferPointer<Source>, _ picks: Picks, into out: UnsafeMutablePointer<Value>,
    _ convert: (Source) -> Value
  ) {
    guard let base = from.baseAddress else { return }
    for i in 0..<picks.count { out[i] = convert(base[Int(picks.start[i])]) }
  }

  // MARK: dictionary

  func endSlice() {
    guard usesDictionary else { return }
    if chunkValues >= nextLook {
      nextLook = nextLook < DictionaryPolicy.secondLook ? DictionaryPolicy.secondLook : Int.max
      if !DictionaryPolicy.isWorthIt(distinct: table.count, rows: chunkValues) || deltaIsShorter(share: 8) {
        return abandonDictionary()
      }
    }
    if dictionaryBytes > DictionaryPolicy.maxBytes { abandonDictionary() }
  }

  /// Integers have a rival: neighbours that are close together. Only a `share`th of the dictionary's bytes is counted,
  /// for the rows that are still to come.
  private func deltaIsShorter(share: Int) -> Bool {
    guard Value.self == Int64.self else { return false }
    materialise()
    let bits = open.base.withMemoryRebound(to: Int64.self, capacity: indexes.count) {
      deltaBits($0, count: indexes.count)
    }
    return bits < bitWidth(UInt64(table.count)) + table.count * width * 8 / share / max(indexes.count, 1)
  }

  /// Writes the values of the open page to `open`, without counting them in.
  private func materialise() {
    open.reserve(indexes.count)
    for i in 0..<indexes.count { open.base[i] = table.keys.base[Int(indexes.base[i])] }
  }

  private func abandonDictionary() {
    materialise()
    open.count = indexes.count
    indexes.removeAll()
    usesDictionary = false
    if pagesWithDictionary == 0 { table.removeAll() }
  }

  func settle() {
    let isFirst = usesDictionary && pagesWithDictionary == 0
    if isFirst && (table.count * 2 > chunkValues || deltaIsShorter(share: 1)) { abandonDictionary() }
  }

  func writeDictionary(into out: inout Buffer<UInt8>) -> Int? {
    guard pagesWithDictionary > 0 else { return nil }
    appendPlain(table.keys.base, count: table.count, to: &out)
    return table.count
  }

  // MARK: pages and chunks

  func closePage(into out: inout Buffer<UInt8>) -> (Encoding, EncodedStatistics) {
    if usesDictionary && dictionaryBytes > DictionaryPolicy.maxBytes { abandonDictionary() }
    let encoding = appendValues(to: &out)
    checkDigits()
    let statistics = encoded(page)
    chunk.include(page)
    page = ValueRange()
    open.removeAll()
    indexes.removeAll()
    return (encoding, statistics)
  }

  private func appendValues(to out: inout Buffer<UInt8>) -> Encoding {
    if usesDictionary && indexes.count > 0 {
      pagesWithDictionary += 1
      appendIndexes(indexes.base, count: indexes.count, distinct: table.count, to: &out)
      return .rleDictionary
    }
    if Value.self == Int64.self && open.count > 0 {
      open.base.withMemoryRebound(to: Int64.self, capacity: open.count) {
        out.appendDelta($0, count: open.count, narrow: width == 4)
      }
      return .deltaBinaryPacked
    }
    appendPlain(open.base, count: open.count, to: &out)
    return .plain
  }

  private func appendPlain(_ values: UnsafePointer<Value>, count: Int, to out: inout Buffer<UInt8>) {
    out.reserve(count * width)
    let start = out.end
    for i in 0..<count { values[i].write(to: start + i * width, width: width) }
    out.count += count * width
  }

  private func checkDigits() {
    if leaf.kind == .int32, let (low, high) = page.bounds {
      if wide(low) < Int128(Int32.min) || wide(high) > Int128(Int32.max) { failure = "a value does not fit 32 bits" }
    }
    guard case .decimal(let precision, _) = leaf.type, let (low, high) = page.bounds else { return }
    let limit = decimalLimit(precision: precision)
    if wide(low) <= -limit || wide(high) >= limit { failure = "a decimal has more digits than \(leaf.type.name) holds" }
  }

  private func wide(_ value: Value) -> Int128 {
    if let value = value as? Int64 { return Int128(value) }
    return value as? Int128 ?? 0
  }

  private func encoded(_ range: ValueRange<Value>) -> EncodedStatistics {
    var result = EncodedStatistics(nanCount: Value.canBeNaN ? Int64(range.nanCount) : nil)
    if let (low, high) = range.bounds {
      result.min = bytes(low)
      result.max = bytes(high)
    }
    return result
  }

  private func bytes(_ value: Value) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: width)
    result.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { value.write(to: base, width: width) } }
    return result
  }

  func closeChunk() -> EncodedStatistics {
    let statistics = encoded(chunk)
    file.include(chunk)
    chunk = ValueRange()
    table.removeAll()
    usesDictionary = true
    pagesWithDictionary = 0
    chunkValues = 0
    nextLook = DictionaryPolicy.firstLook
    return statistics
  }

  func fileStatistics() -> ColumnStatistics {
    ColumnStatistics(
      nullCount: 0, nanCount: Int64(file.nanCount), min: file.bounds.map { literal($0.low) },
      max: file.bounds.map { literal($0.high) })
  }

  private func literal(_ value: Value) -> Literal {
    if let value = value as? Double { return .double(value) }
    switch leaf.type {
    case .decimal(let precision, let scale): return .decimal(wide(value), precision: precision, scale: scale)
    case .timestamp: return .timestamp(Int64(wide(value)))
    default: return .int64(Int64(wide(value)))
    }
  }
}

/// A page of RLE_DICTIONARY: the bit width in a byte, then the hybrid encoding.
func appendIndexes(_ indexes: UnsafePointer<UInt32>, count: Int, distinct: Int, to out: inout Buffer<UInt8>) {
  // Width 0 would do for a single value; not every reader likes it.
  let width = max(1, bitWidth(UInt64(max(distinct, 1) - 1)))
  out.append(UInt8(width))
  out.appendHybrid(indexes, count: count, width: width)
}
