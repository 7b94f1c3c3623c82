import WeirCore

/// Encodes booleans PLAIN: one bit each, least significant first.
final class BoolEncoder: ValueEncoder {
  private var open = Buffer<UInt8>(capacity: 1024)
  // How many there are, and how many of them are true.
  private var page = (count: 0, yes: 0)
  private var chunk = (count: 0, yes: 0)
  private var file = (count: 0, yes: 0)

  var failure: String? { nil }

  var openBytes: Int { open.count / 8 }

  var estimatedBytes: Int { openBytes }

  func append(_ values: Column.Values, _ picks: Picks) {
    guard case .bool(let v) = values else { preconditionFailure("the column's type is not the schema's") }
    open.reserve(picks.count)
    let out = open.end
    var yes = 0
    v.withUnsafeBufferPointer { from in
      for i in 0..<picks.count {
        let bit: UInt8 = from[Int(picks.start[i])] ? 1 : 0
        out[i] = bit
        yes += Int(bit)
      }
    }
    open.count += picks.count
    page.count += picks.count
    page.yes += yes
  }

  func closePage(into out: inout Buffer<UInt8>) -> (Encoding, EncodedStatistics) {
    out.appendPacked(open.base, count: open.count, padded: (open.count + 7) / 8 * 8, width: 1) { UInt64($0) }
    let statistics = encoded(page)
    chunk = (chunk.count + page.count, chunk.yes + page.yes)
    page = (0, 0)
    open.removeAll()
    return (.plain, statistics)
  }

  private func encoded(_ tally: (count: Int, yes: Int)) -> EncodedStatistics {
    guard tally.count > 0 else { return EncodedStatistics() }
    return EncodedStatistics(min: [tally.yes == tally.count ? 1 : 0], max: [tally.yes > 0 ? 1 : 0])
  }

  func closeChunk() -> EncodedStatistics {
    let statistics = encoded(chunk)
    file = (file.count + chunk.count, file.yes + chunk.yes)
    chunk = (0, 0)
    return statistics
  }

  func fileStatistics() -> ColumnStatistics {
    guard file.count > 0 else { return ColumnStatistics(nullCount: 0, min: nil, max: nil) }
    return ColumnStatistics(nullCount: 0, min: .bool(file.yes == file.count), max: .bool(file.yes > 0))
  }
}
