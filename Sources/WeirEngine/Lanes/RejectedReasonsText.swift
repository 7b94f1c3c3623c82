import WeirCore

/// Rejected records in words and for programs: the same in summaries, logs and errors.
extension RejectedReasons {
  /// The reasons with the most records, each with its first record and a hint: some lines, without a line end after the last.
  package func text(indent: String = "  ") -> String {
    var lines: [String] = []
    let top = self.top
    for kind in top.prefix(RejectedReasons.shownMax) {
      let sample = kind.sample
      // Numbers and values of the reason are the first's.
      let whose = kind.differs ? " (the first of them; the others differ in numbers or values)" : ""
      lines.append("\(kind.count) \(kind.count == 1 ? "record" : "records"): \(kind.stage): \(sample.reason)\(whose)")
      lines.append("  \(kind.count == 1 ? "" : "the first ")at position \(sample.position) of \(sample.shard): \(sample.record)")
      if let hint = sample.hint { lines.append("  hint: \(hint)") }
    }
    if let (count, first) = rest {
      let sample = first.sample
      let which = count == 1 ? "1 record for another reason," : "\(count) records for other reasons, the first"
      lines.append("\(which) at position \(sample.position) of \(sample.shard): \(first.stage): \(sample.reason)")
    }
    return lines.map { indent + $0 }.joined(separator: "\n")
  }

  /// The kinds with the most records first: `[{stage, reason, count, shard, position, record, hint}, …]`.
  package var json: JSONValue {
    .array(
      top.map { kind in
        .members([
          "stage": .string(kind.stage), "reason": .string(kind.sample.reason), "count": .int(kind.count),
          "shard": .string(kind.sample.shard), "position": kind.sample.position.position.json, "record": .string(kind.sample.record),
          "hint": kind.sample.hint.map { .string($0) } ?? .null,
        ])
      })
  }
}
