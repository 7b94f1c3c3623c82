import WeirCore
import WeirInfer
import WeirLocal
import WeirOperators
import WeirPlan
import WeirReport
import WeirRuntime

/// `weir infer`: a first pipeline for a capture.
package enum InferCommand {
  /// First bytes by which the form of a capture is recognised.
  private static let firstBytes = 256 << 10
  private static let content = CaptureContent("JSON or rows of text", .text)

  /// - Parameters:
  ///   - captures: as of `weir replay`.
  ///   - stream: the name of pipeline and tables; nil: that of the first capture.
  /// - Returns: the exit code.
  package static func run(_ captures: [String], stream: String?, console: Console) async throws -> Int32 {
    for path in captures where path != "-" {
      _ = try PathText.checkedLake(path, "the capture")
    }
    let name = captures.first ?? "-"
    if captures.contains(where: LiveCapture.isOne) {
      throw WeirError(
        .config, "\(name) was written by weir capture, and only files of records can be inferred from",
        advice: "Infer a pipeline from a file of some of its records, one a line.")
    }
    let stream = try InferCommand.stream(stream, of: name)
    let files = try await CapturedFiles.find(captures, content: content, settings: [:], .own())
    let threads = BlockingThreads(count: 1)
    defer { threads.stop() }
    let first = try await threads.run {
      try CaptureSource.firstBytes(of: Array(files.items.prefix(1)), in: files.store, content: content, count: firstBytes)
    }
    guard let form = CaptureForm(first) else { throw InferredPipeline.refused(name, first: first) }
    let sample = try await InferCommand.sample(files, form)
    let pipeline = try await threads.run { try InferredPipeline(sample, form: form, capture: name, stream: stream) }
    console.data(Array(pipeline.yaml.utf8))
    return 0
  }

  private static func sample(_ files: CapturedFiles, _ form: CaptureForm) async throws -> RecordSample {
    let source = CaptureSource(files: files.items, in: files.store, cutBytes: .max / 2, framing: framing(form), content: content)
    var sample = RecordSample()
    reading: while true {
      switch try await source.next() {
      case .block(let block, _):
        if !add(block, to: &sample) { break reading }
      case .end:
        sample.isWhole = true
        break reading
      default: continue
      }
    }
    await source.close()
    return sample
  }

  /// - Returns: false: the sample is full.
  private static func add(_ block: RawBlock, to sample: inout RecordSample) -> Bool {
    let records = block.records(keepsBlankLines: false)
    return withExtendedLifetime(block.text) {
      for (offset, length) in zip(records.offset, records.length) {
        guard sample.add(UnsafeBufferPointer(start: block.text.base + Int(offset), count: Int(length))) else { return false }
      }
      return true
    }
  }

  private static func framing(_ form: CaptureForm) -> (any CaptureFraming)? {
    switch form {
    case .concatenated: JSONFormat(.concatenated).captureFraming
    case .array: JSONFormat(.array).captureFraming
    case .lines, .rows: nil
    }
  }

  /// A name of tables: that of a file without its endings.
  private static func stream(_ given: String?, of capture: String) throws(WeirError) -> String {
    if let given {
      let isName = given.utf8.allSatisfy { isOfName($0) } && !given.hasPrefix("_") && (1...200).contains(given.utf8.count)
      guard isName else {
        throw WeirError(.config, "--stream \(given.shortened(toBytes: 100)) is not a name", advice: "Use letters, digits, - and _.")
      }
      return given
    }
    let file = capture.split(separator: "/").last.map(String.init) ?? capture
    let words = file.prefix { $0 != "." }.utf8.map { isOfName($0) ? Character(Unicode.Scalar($0)) : "-" }
    let name = String(words.drop { $0 == "_" || $0 == "-" }.prefix(100))
    return name.isEmpty ? "records" : name
  }

  private static func isOfName(_ c: UInt8) -> Bool { c &- 0x30 < 10 || c | 0x20 >= 0x61 && c | 0x20 <= 0x7A || c == 0x5F || c == 0x2D }
}
