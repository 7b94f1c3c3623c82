import WeirCore

/// Which windows a record belongs to, by slices ("panes") of one slide each.
///
/// A record at `t` is in the pane that starts at `start(t)`. The windows that hold a pane are numbered by their ends:
/// window `j` (0-based) ends at `pane + (j + 1) * slide`; there are `windowsPerPane` of them. A record that is late for
/// the first `m` of them and on time for the rest is folded into the pane's cell of class `m` ("missed"), and window `j`
/// takes the classes up to `j`. So lateness is judged per window although a record is folded once, and nothing depends
/// on when a window is written out.
package struct WindowMath: WindowKind {
  package let size: Int64
  package let slide: Int64
  package let offset: Int64
  package let lateness: Int64
  package let windowsPerPane: Int64

  package init(_ spec: WindowSpec) {
    size = spec.sizeMicroseconds
    slide = spec.slideMicroseconds
    offset = spec.offsetMicroseconds
    lateness = spec.latenessMicroseconds
    windowsPerPane = size / slide
  }

  /// Start of the pane of `time` (floor division: times before 1970 work).
  @inline(__always)
  package func pane(_ time: Int64) -> Int64 {
    let t = time &- offset
    var quotient = t / slide
    if t % slide < 0 { quotient -= 1 }
    return quotient &* slide &+ offset
  }

  /// Slides from the offset to the start of a pane, or to the end of a window.
  func number(ofStart start: Int64) -> Int64 { (start &- offset) / slide }

  /// Start and end of window `number` (from 0) of those that hold a pane.
  package func missedWindow(_ number: Int64, from pane: Int64) -> (start: Int64, end: Int64) {
    let end = pane + (number + 1) * slide
    return (end - size, end)
  }

  package func isLate(_ time: Int64, watermark: Int64) -> Bool { missed(pane: pane(time), watermark: watermark) > 0 }

  package func makeOperator(_ layout: AggregateLayout, _ bound: PartitionBound?) -> any WindowOperator {
    WindowStore(self, layout: layout, bound: bound)
  }

  package func times(within range: ClosedRange<Int64>) -> ClosedRange<Int64> {
    // The first window of a pane starts `size - slide` before it, and the last one ends `size` after its start.
    let earliest = range.lowerBound + size - slide
    let first = pane(earliest)
    let last = pane(range.upperBound - size)
    return (first < earliest ? first + slide : first)...(last + slide - 1)
  }

  /// How many of a pane's windows end at or below `bound`.
  @inline(__always)
  func ended(pane: Int64, by bound: Int64) -> Int64 {
    let distance = bound.subtractingReportingOverflow(pane)
    if distance.overflow { return bound < 0 ? 0 : windowsPerPane }
    return distance.partialValue <= 0 ? 0 : min(distance.partialValue / slide, windowsPerPane)
  }

  /// Windows that the record misses: their end plus the allowed lateness is at or below the watermark.
  @inline(__always)
  package func missed(pane: Int64, watermark: Int64) -> Int64 {
    let bound = watermark.subtractingReportingOverflow(lateness)
    return bound.overflow ? 0 : ended(pane: pane, by: bound.partialValue)
  }

  /// Windows of the pane that are closed (their end is at or below the watermark), missed ones included.
  @inline(__always)
  package func closed(pane: Int64, watermark: Int64) -> Int64 { ended(pane: pane, by: watermark) }
}
