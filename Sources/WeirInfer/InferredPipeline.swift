import WeirCore
import WeirOperators

/// A first pipeline for a capture: what its first records show, with the evidence in comments.
///
/// The same records give the same text. Memory is that of the sample (``RecordSample``) and of its places (``ValueStats/placesMax``); the
/// sample is read three times.
package struct InferredPipeline: Sendable {
  /// The pipeline file.
  package let yaml: String

  /// - Parameters:
  ///   - form: how the records are written.
  ///   - capture: the name of the capture, for the comments.
  ///   - stream: the name of the tables.
  /// - Throws: `config` where no record of the sample can be read.
  package init(_ sample: RecordSample, form: CaptureForm, capture: String, stream: String) throws(WeirError) {
    let reader = SampleReader(sample, form)
    if let problem = reader.columnsProblem {
      throw InferredPipeline.refused(capture, problem.why, problem.advice)
    }
    let root = reader.shape()
    guard root.objects > 0 else { throw InferredPipeline.unreadable(sample, form, capture) }
    let guesser = TypeGuesser(isText: form.isRows, hasCommas: reader.hasCommas(root))
    var finder = FieldFinder(guesser)
    finder.find(root)
    guard !finder.fields.isEmpty else {
      throw InferredPipeline.refused(capture, "its records have no members that can be columns", "Give a file whose records have some.")
    }
    let (columns, records) = reader.columns(Roles.candidates(finder.fields, records: root.objects), finder.fields)
    var writer = PipelineWriter(
      fields: finder.fields, leftOut: finder.leftOut, records: root.objects, roles: Roles(finder.fields, columns, records: records),
      hasCommas: guesser.hasCommas)
    yaml = writer.text(sample, form, reader, capture: capture, stream: stream)
  }
}

extension InferredPipeline {
  /// Why there is no pipeline for a capture.
  package static func refused(_ capture: String, _ why: String, _ advice: Wording? = nil) -> WeirError {
    WeirError(
      .config, "no pipeline can be inferred from \(capture): \(why)",
      advice: advice ?? Wording("Write the pipeline by hand: the plan reference has the formats, such as lines of text with a pattern."))
  }

  /// - Parameter first: the first bytes of a capture that is neither JSON nor rows.
  package static func refused(_ capture: String, first: [UInt8]) -> WeirError {
    let text = first.starts(with: [0xEF, 0xBB, 0xBF]) ? first.dropFirst(3) : first[...]
    guard let start = text.firstIndex(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) else { return empty(capture) }
    let line = text[start...].prefix { $0 != 0x0A }
    let known = RejectionHint.ofCapture(line)
    if text[start...].dropFirst(line.count + 1).allSatisfy({ $0 <= 0x20 }), known == nil || CaptureForm.isHeader(line) {
      return refused(capture, "it has one line only, which may be the names of columns", "Give a file with some rows.")
    }
    return refused(capture, known ?? "its first bytes are neither JSON nor rows with the names of their columns")
  }

  private static func empty(_ capture: String) -> WeirError {
    refused(capture, "it has no records", "Give a file with some records: the first thousand show most of a stream.")
  }

  private static func unreadable(_ sample: RecordSample, _ form: CaptureForm, _ capture: String) -> WeirError {
    guard sample.count > 0 else { return empty(capture) }
    let hint = form.isRows ? nil : RejectionHint.ofCapture(sample[0])
    let which = sample.count == 1 ? "its only record is not" : "none of its first \(sample.count) records is"
    return refused(capture, "\(which) \(form.noun)\(hint.map { ": \($0)" } ?? "")")
  }
}

extension CaptureForm {
  var isRows: Bool { if case .rows = self { true } else { false } }
  fileprivate var noun: String { isRows ? "a row of a table with a header" : "an object of JSON" }
}

/// The values of a sample's records.
final class SampleReader {
  private let sample: RecordSample
  private let rows: RowReader?
  private let head: ArraySlice<UInt8>?
  /// The member of outer records whose elements are the records; nil: the sample's records are the records.
  private(set) var each: String?
  /// Records of the sample that are not of its form, and elements that are no objects.
  private(set) var unreadable = 0
  /// The records are in the envelope of Kafka Connect.
  let isEnveloped: Bool
  /// Records that are null.
  private(set) var withoutValue = 0

  init(_ sample: RecordSample, _ form: CaptureForm) {
    self.sample = sample
    if case .rows(let delimiter) = form, sample.count > 0 {
      head = sample[0]
      rows = RowReader(delimiter: delimiter, head: sample[0])
      isEnveloped = false
    } else {
      (head, rows) = (nil, nil)
      isEnveloped = SampleEnvelope.isUsed(by: sample)
      each = SampleReader.outer(sample)
    }
  }

  /// Outer records at most that are looked at for it.
  private static let outerMax = 100

  /// The only member of the first objects, if it is a list of objects.
  private static func outer(_ sample: RecordSample) -> String? {
    var name: String?
    var elements = 0
    for number in 0..<min(sample.count, outerMax) {
      guard let members = (try? JSONValue(parsing: sample[number]))?.members else { continue }
      guard members.count == 1, let member = members.first, let items = member.value.array, items.allSatisfy({ $0.members != nil }),
        !member.name.isEmpty, name == nil || name == member.name
      else { return nil }
      name = member.name
      elements += items.count
    }
    return elements > 0 ? name : nil
  }

  /// All records of the sample, in order.
  private func forEach(_ body: (JSONValue) -> Void) {
    (unreadable, withoutValue) = (0, 0)
    for number in 0..<sample.count {
      let bytes = sample[number]
      if let rows {
        // Rows with the names are no records.
        if bytes == head { continue }
        if let row = rows.object(bytes) { body(row) } else { unreadable += 1 }
      } else if let value = try? JSONValue(parsing: SampleReader.trimmed(bytes)) {
        guard let each else {
          take(value, body)
          continue
        }
        if let items = value[each]?.array { for item in items { body(item) } } else { unreadable += 1 }
      } else {
        unreadable += 1
      }
    }
  }

  private func take(_ value: JSONValue, _ body: (JSONValue) -> Void) {
    switch isEnveloped ? SampleEnvelope.content(value) : .record(value) {
    case .record(.null), .noValue: withoutValue += 1
    case .record(let record): body(record)
    case .missing: unreadable += 1
    }
  }

  private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes
  }

  func shape() -> ValueStats {
    let root = ValueStats()
    var places = 1
    var others = 0
    forEach { value in
      if value.members == nil { others += 1 } else { root.take(value, &places, hasCommas: rows.map { $0.delimiter != "," } ?? false) }
    }
    unreadable += others
    return root
  }

  /// Rows have a decimal comma where more of their texts are numbers with it.
  func hasCommas(_ root: ValueStats) -> Bool {
    rows != nil
      && root.members.contains { $0.stats.texts.commas.fractions > 0 || $0.stats.texts.commas.count > $0.stats.texts.numbers.count }
  }

  /// The values of some fields, and a hash of each record that is an object.
  func columns(_ indices: [Int], _ fields: [FieldGuess]) -> ([SampleColumn], [Int]) {
    var columns = indices.map { SampleColumn(field: $0) }
    var hashes: [Int] = []
    let unreadable = unreadable
    forEach { record in
      guard record.members != nil else { return }
      hashes.append(record.bytes.hashValue)
      for number in columns.indices {
        let field = fields[columns[number].field]
        columns[number].take(field.path.reduce(record) { $0?[$1] ?? .null }, field.guess.time)
      }
    }
    self.unreadable = unreadable
    return (columns, hashes)
  }
}

extension SampleReader {
  /// Of the columns of rows.
  var names: [String] { rows?.names ?? [] }

  /// Why a pipeline cannot have the columns of rows, and what to do; nil: it can.
  var columnsProblem: (why: String, advice: Wording)? {
    guard let rows else { return nil }
    var seen = Set<String>()
    if let name = rows.names.first(where: { !seen.insert($0).inserted }) {
      return (
        "its first row has the name \(Printable.visible(name).shortened(toBytes: 100)) twice, and the names of columns must differ",
        "Give each column a name of its own in the first row. If the file must stay as it is, write the pipeline by hand, with `columns` of other names and a check with `else: drop` for the first row."
      )
    }
    var dialect = CSVDialect(delimiter: rows.delimiter)
    dialect.columns = rows.names
    return dialect.problem.map { ("its first row has no names of columns: \($0)", "Give a file whose first row has them.") }
  }
}
