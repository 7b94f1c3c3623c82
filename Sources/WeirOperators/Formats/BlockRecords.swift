import CWeirScan
import WeirCore

extension RawBlock {
  /// Where the records are, and how many lines are none.
  ///
  /// - Parameter keepsBlankLines: a line of white space is a record; else it is none.
  package func records(keepsBlankLines: Bool = true) -> (offset: [UInt32], length: [UInt32], blankLines: Int) {
    switch framing {
    case .spans(let offset, let length): return (offset, length, 0)
    case .lines:
      var blankLines = 0
      var offset: [UInt32] = []
      var length: [UInt32] = []
      offset.reserveCapacity(count / 128)
      length.reserveCapacity(count / 128)
      var at = 0
      while at < count {
        let end = weir_find_newline(text.base + at, text.base + count)! - UnsafePointer(text.base)
        // Most lines begin with a visible character: only others are looked at twice.
        if !keepsBlankLines, RawBlock.mayBeBlank(text.base[at]), RawBlock.isBlank(text.base + at, text.base + end) {
          blankLines += 1
        } else {
          offset.append(UInt32(at))
          length.append(UInt32(end - at))
        }
        at = end + 1
      }
      return (offset, length, blankLines)
    }
  }

  /// White space, or the first byte of a byte order mark.
  @inline(__always)
  private static func mayBeBlank(_ first: UInt8) -> Bool { first <= 0x20 || first == 0xEF }

  /// Nothing but white space, perhaps after a byte order mark.
  private static func isBlank(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
    var scanner = JSONScanner(at: start, end: end)
    scanner.space()
    if scanner.at < end, scanner.byteOrderMark() { scanner.space() }
    return scanner.at == end
  }
}
