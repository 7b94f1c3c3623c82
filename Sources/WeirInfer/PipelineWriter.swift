import WeirCore

/// Writes an inferred pipeline as YAML, with what it is inferred from in comments.
struct PipelineWriter {
  let fields: [FieldGuess]
  let leftOut: Int
  /// Objects of the sample.
  let records: Int
  let roles: Roles
  /// Numbers of rows have a comma before their fraction.
  let hasCommas: Bool
  private var lines: [String] = []

  init(fields: [FieldGuess], leftOut: Int, records: Int, roles: Roles, hasCommas: Bool) {
    (self.fields, self.leftOut, self.records, self.roles, self.hasCommas) = (fields, leftOut, records, roles, hasCommas)
  }

  mutating func text(
    _ sample: RecordSample, _ form: CaptureForm, _ reader: SampleReader, capture: String, stream: String
  ) -> String {
    head(sample, reader, capture)
    let name = YAMLText.scalar(stream)
    lines += ["pipeline: \(name)", "source: {capture: {stream: \(name)}}", "record:"]
    format(form, reader)
    surroundings(reader)
    keyAndTime()
    lines.append("  fields:")
    for number in fields.indices { field(number, isText: form.isRows) }
    if leftOut > 0 { lines.append("    # \(leftOut) more members are left out (infer_fields, or their names are too long or empty)") }
    dedup()
    lines += ["bronze: {}", silver]
    gold(stream)
    lines.append("lake: {path: ./lake}")
    return lines.joined(separator: "\n") + "\n"
  }

  private mutating func head(_ sample: RecordSample, _ reader: SampleReader, _ capture: String) {
    let extent =
      sample.isWhole
      ? (records == 1 ? "it has no more" : "all of them") : "the first \(sample.bytes) bytes of the capture (infer_records, infer_bytes)"
    lines.append("# A first pipeline for \(PipelineWriter.comment(capture)), from \(PipelineWriter.count(records)): \(extent).")
    lines.append("# Read it and correct it: what other records have, and what a field means, the sample does not show.")
    if reader.unreadable > 0 { lines.append("# Records that cannot be read, which a replay quarantines: \(reader.unreadable).") }
  }

  private mutating func format(_ form: CaptureForm, _ reader: SampleReader) {
    switch form {
    case .lines: lines.append("  format: json")
    case .concatenated: lines.append("  format: {json: {framing: concatenated}}")
    case .array: lines.append("  format: {json: {framing: array}}")
    case .rows(let delimiter):
      var settings = delimiter == "," ? "" : ", delimiter: \(YAMLText.quoted(delimiter))"
      if hasCommas { settings += ", decimal: \",\"" }
      let names = reader.names.map(YAMLText.quoted).joined(separator: ", ")
      lines.append("  format: {csv: {header: true\(settings), columns: [\(names)]}}")
    }
    if let each = reader.each { lines.append("  framing: {each: \(YAMLText.scalar(FieldPath.text([.name(each)])))}") }
  }

  private mutating func surroundings(_ reader: SampleReader) {
    if reader.isEnveloped { lines.append("  envelope: connect") }
    guard reader.isEnveloped || reader.withoutValue > 0 else { return }
    lines.append("  tombstones: drop  # records without a value: \(reader.withoutValue)")
  }

  private mutating func keyAndTime() {
    if let key = roles.key {
      lines.append("  key: \(fields[key.field].name)  # \(key.distinct) values in \(PipelineWriter.count(records))")
    } else {
      lines.append("  # key: FIELD  (no field with the name of a key has values that repeat)")
    }
    guard let time = roles.time else { return lines.append("  # time: {field: FIELD}  (\(whyNoTime))") }
    let measure = time.measure
    let quantiles = [("half", 0.5), ("99%", 0.99), ("99.9%", 0.999), ("all", 1)].map {
      "\($0.0) \(RoundDuration.shown(measure.delay($0.1)))"
    }
    lines.append("  # \(PipelineWriter.time(measure.first)) to \(PipelineWriter.time(measure.last)).")
    lines.append("  # How much earlier records are than the newest one before them, at most: \(quantiles.joined(separator: ", ")).")
    if measure.wrongClocks > 0 {
      lines.append(
        "  # \(measure.wrongClocks) times are far from all others: clocks that are wrong. A duration beside the field, such as max_ahead: 1d, quarantines those further ahead of the others."
      )
    }
    if measure.missing > 0 { lines.append("  # Records without a time, which are quarantined: \(measure.missing).") }
    lines.append("  time: {field: \(fields[time.field].name), out_of_order: \(time.outOfOrder.text)}")
  }

  private var whyNoTime: String {
    let times = fields.filter { $0.guess.time != nil && $0.stats.given > 0 }
    guard let best = times.max(by: { $0.stats.given < $1.stats.given }) else { return "no field is a time" }
    if best.stats.given * 10 >= records * 9 { return "the times of a field such as \(best.name) are all the same" }
    return
      "\(best.name) is a time in \(best.stats.given) of \(records): with it the records without one are quarantined, as the event time is required"
  }

  // MARK: Fields

  private mutating func field(_ number: Int, isText: Bool) {
    let field = fields[number]
    let isTime = number == roles.time?.field
    let type = field.guess.type + (isTime || field.isAlways(in: records) ? "!" : "")
    var settings: [String] = []
    if field.path != [field.name] {
      settings.append("path: \(YAMLText.scalar(FieldPath.text(field.path.map { .name($0) })))")
    }
    if field.guess.coerce { settings.append("coerce: true") }
    if let zone = field.guess.zone { settings.append("zone: \(zone)") }
    let value =
      settings.isEmpty ? YAMLText.scalar(type) : "{type: \(YAMLText.scalar(type)), \(settings.joined(separator: ", "))}"
    lines.append("    \(field.name): \(value)  # \(evidence(field))")
  }

  private func evidence(_ field: FieldGuess) -> String {
    let stats = field.stats
    var parts = [stats.given == records ? "in all" : "in \(stats.given) of \(records)"]
    if stats.nulls > 0 { parts.append("null in \(stats.nulls)") }
    var numbers = stats.numbers
    numbers.merge(hasCommas ? stats.texts.commas : stats.texts.numbers)
    if field.guess.time == nil, numbers.count > 0, ["int64", "double"].contains(field.guess.type) || field.guess.type.hasPrefix("decimal") {
      parts.append("\(PipelineWriter.number(numbers.least)) to \(PipelineWriter.number(numbers.most))")
    }
    if field.guess.type == "string", stats.texts.count > 0 { parts.append("at most \(stats.texts.bytesMax) bytes") }
    if field.guess.misfits > 0 { parts.append("values that look different, and may be quarantined: \(field.guess.misfits)") }
    if let note = field.guess.note { parts.append(note) }
    return parts.joined(separator: "; ")
  }

  // MARK: Tables

  /// Active only where all repeats are equal records: of a stream of changes the first records may have no id twice.
  private mutating func dedup() {
    guard let id = roles.id else { return lines.append("# dedup: {id: FIELD, within: DURATION}  (no field with the name of an id is one)") }
    let name = fields[id.field].name
    guard roles.time != nil else {
      return lines.append("# dedup: {id: \(name)}  (ids that repeat: \(id.repeats); without a time, ids are kept for ever)")
    }
    let line = "dedup: {id: \(name), within: \(id.within.text)}"
    guard id.repeats > 0 else {
      return lines.append(
        "# \(line)  (no id repeats. Remove the # if a record may be sent twice; of changes with one id it keeps only the first)")
    }
    var repeats = "ids that repeat: \(id.repeats), at most \(RoundDuration.shown(id.distance)) apart"
    if id.conflicts > 0 { repeats += "; with another record than before, which dedup drops: \(id.conflicts)" }
    lines.append(id.conflicts == 0 ? "\(line)  # \(repeats)" : "# \(line)  (\(repeats). Remove the # if the first is enough)")
  }

  private var silver: String { roles.time.map { "silver: {partition_by: day(\(fields[$0.field].name))}" } ?? "silver: {}" }

  /// Pipelines may share a lake, where the names of their tables must differ.
  private mutating func gold(_ stream: String) {
    guard let time = roles.time else { return }
    // Some tens of windows.
    let window = RoundDuration.above(max(10_000_000, (time.measure.last - time.measure.first) / 50))
    let over = time.measure.delays.count { $0 > time.outOfOrder.microseconds + time.lateness.microseconds }
    lines += [
      "gold:", "  \(YAMLText.scalar("\(stream.prefix(150))_per_window")):", "    by: [\(roles.key.map { fields[$0.field].name } ?? "")]",
      "    window: {tumbling: \(window.text), lateness: \(time.lateness.text)}  # records later than that: \(over)",
      "    measure: {records: count()}",
    ]
  }

  // MARK: Texts

  private static func count(_ records: Int) -> String { records == 1 ? "1 record" : "\(records) records" }

  private static func time(_ microseconds: Int64) -> String { CivilTime.text(ofMicroseconds: microseconds) }

  private static func number(_ value: Double) -> String {
    abs(value) < 1e15 && value == value.rounded() ? String(Int64(value)) : "\(value)"
  }

  /// Of one line, without control characters.
  private static func comment(_ text: String) -> String { Printable.visible(text).replacing("\n", with: " ").shortened(toBytes: 200) }
}
