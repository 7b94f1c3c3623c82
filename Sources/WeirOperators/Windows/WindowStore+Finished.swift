import WeirCore

extension WindowStore {
  package var finishedThrough: Int64 {
    let (through, overflow) = emittedThrough.addingReportingOverflow(math.lateness)
    return emittedThrough == Watermark.minimum || overflow ? emittedThrough : through
  }
}
