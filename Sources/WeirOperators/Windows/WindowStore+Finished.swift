import WeirCore

extension WindowStore {
  public var finishedThrough: Int64 {
    let (through, overflow) = emittedThrough.addingReportingOverflow(math.lateness)
    return emittedThrough == Watermark.minimum || overflow ? emittedThrough : through
  }
}
