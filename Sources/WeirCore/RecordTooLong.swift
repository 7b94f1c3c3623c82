extension WeirError {
  /// - Parameters:
  ///   - shard: nil: the stream is a capture.
  ///   - bytes: nil: the end of the record was not looked for.
  ///   - max: of a record, in bytes.
  public static func recordTooLong(at position: Int64, of shard: String?, bytes: Int?, max: Int) -> WeirError {
    func size(_ bytes: Int) -> String { bytes < 10 << 20 ? "\(bytes >> 10) KiB" : "\(bytes >> 20) MiB" }
    let place = "\(shard.map { "of \($0) " } ?? "")at position \(position)"
    let length = bytes.map { "is \(size($0)) long, and a record has \(size(max)) at most" } ?? "is longer than \(size(max))"
    // A capture without line ends is one long record.
    let cause: Wording = shard == nil ? "Does the capture have one JSON record per line? " : ""
    return WeirError(
      .recordTooLong, "the record \(place) \(length)",
      advice:
        "\(cause)A record may use a thirty-second of \(.setting(.workerMemory)), in a capture 64 MiB at most: raise the memory (and the container's limit), or make the record shorter at its producer."
    )
  }
}
