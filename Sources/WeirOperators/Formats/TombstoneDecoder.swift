import WeirCore

/// Records without a value are counted as filtered instead of rejected: those of a topic, and where records are JSON the text `null`, as
/// captures of such a topic have them.
final class TombstoneDecoder: BlockDecoder {
  private let inner: any BlockDecoder
  private let holdsJSON: Bool

  init(_ inner: any BlockDecoder, holdsJSON: Bool) { (self.inner, self.holdsJSON) = (inner, holdsJSON) }

  func decode(_ raw: RawBlock) -> DecodedBlock {
    var block = inner.decode(raw)
    guard !block.rejections.isEmpty else { return block }
    block.dropped = block.rejections.lazy.filter { row, rejection in
      rejection.reason == RecordDetails.noValue || self.holdsJSON && TombstoneDecoder.isNull(block, row)
    }.map(\.row)
    guard !block.dropped.isEmpty else { return block }
    let rows = Set(block.dropped)
    block.rejections.removeAll { rows.contains($0.row) }
    return block
  }

  private static func isNull(_ block: DecodedBlock, _ row: Int) -> Bool {
    let start = UnsafePointer(block.raw.text.base) + Int(block.offset[row])
    var scanner = JSONScanner(at: start, end: start + Int(block.length[row]))
    scanner.space()
    guard scanner.at < scanner.end, scanner.at.pointee == 0x6E, (try? scanner.null()) != nil else { return false }
    scanner.space()
    return scanner.at == scanner.end
  }
}
