import Foundation
import Synchronization
import Testing
import WeirCore

@testable import WeirReport

@Suite struct OutputTests {
  /// Takes so many writes, then fails with an error.
  private final class Sink: Sendable {
    let written = Mutex("")
    let left: Mutex<Int>
    let error: Int32

    init(_ count: Int, then error: Int32) {
      left = Mutex(count)
      self.error = error
    }

    func write(_ bytes: ArraySlice<UInt8>) -> Int32 {
      let isFull = left.withLock { left in
        left -= 1
        return left < 0
      }
      if isFull { return error }
      written.withLock { $0 += String(decoding: bytes, as: UTF8.self) }
      return 0
    }
  }

  @Test func `after a failed write nothing more is written, and the command ends with 1`() throws {
    let sink = Sink(1, then: ENOSPC)
    let console = Console(results: { sink.write($0) })
    console.data("one")
    try console.check()
    console.data("two")
    sink.left.withLock { $0 = 10 }
    console.data("three")
    #expect(sink.written.withLock { $0 } == "one\n")
    #expect(throws: WeirError.self) { try console.check() }
    #expect(console.finish(0) == 1)
    #expect(console.finish(2) == 1)
  }

  @Test func `a reader that has gone ends a command with 141, and no worker`() throws {
    for isWorker in [false, true] {
      let console = Console(results: { _ in EPIPE })
      let stops = Atomic<Int>(0)
      if isWorker { console.outliveReader { stops.add(1, ordering: .relaxed) } }
      console.data("one")
      #expect(console.finish(0) == (isWorker ? 0 : 141))
      #expect(stops.load(ordering: .relaxed) == 0)
    }
  }

  @Test func `a worker whose output is lost is asked to stop once, also if it was lost before the worker began`() {
    for isBefore in [false, true] {
      let console = Console(results: { _ in ENOSPC })
      let stops = Atomic<Int>(0)
      if isBefore { console.data("one") }
      console.outliveReader { stops.add(1, ordering: .relaxed) }
      console.data("two")
      console.data("three")
      #expect(stops.load(ordering: .relaxed) == 1)
      #expect(console.finish(0) == 1)
    }
  }

  @Test func `JSON rows escape what steers a terminal also for a pipe, and mean the same`() throws {
    let written = Mutex<[UInt8]>([])
    let console = Console { bytes, _ in written.withLock { $0 += bytes } }
    let texts = ["\u{9B}31mred", "\u{202E}abc", "\u{7F}", "\u{2028}", "é\u{2019}ü", "\u{1B}[2J"]
    var writer = RowWriter(["k\u{85}"], format: .json, console: console)
    for text in texts { try writer.add([.string(text)]) }
    try writer.finish()
    let text = String(decoding: written.withLock { $0 }, as: UTF8.self)
    #expect(!text.unicodeScalars.contains { (0x7F...0x9F).contains($0.value) || (0x2028...0x202E).contains($0.value) }, "\(text)")
    let rows = try text.split(separator: "\n").map { try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: String] }
    #expect(rows == texts.map { ["k\u{85}": $0] })
    // CSV has no escapes: for a pipe it stays as it is.
    written.withLock { $0 = [] }
    var csv = RowWriter(["k"], format: .csv, console: console)
    try csv.add([.string(texts[1])])
    try csv.finish()
    #expect(String(decoding: written.withLock { $0 }, as: UTF8.self) == "k\n\(texts[1])\n")
  }

  @Test func `every character that steers a terminal is escaped as JSON escapes it, all others stay`() throws {
    for value in UInt32(0)...0x3000 {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let text = "a\(Character(scalar))b"
      let shown = TerminalText.escape(text)
      let steers =
        (value < 0x20 && value != 0x0A && value != 0x09) || (0x7F...0x9F).contains(value)
        || [0x061C, 0x200E, 0x200F].contains(value) || (0x2028...0x202E).contains(value) || (0x2066...0x2069).contains(value)
      #expect((shown != text) == steers, "\(value)")
      if steers {
        let decoded = try JSONSerialization.jsonObject(with: Data("[\"\(shown)\"]".utf8)) as? [String]
        #expect(decoded == [text], "\(value)")
      }
    }
    #expect(TerminalText.inline("a\tb\nc") == "a\\u0009b\\u000ac")
    #expect(TerminalText.escape("a\tb\nc") == "a\tb\nc")
    #expect(TerminalText.escape([0x61, 0x9B, 0x62][...]) == Array("a\u{FFFD}b".utf8)[...])
  }

  @Test func `a progress line is cut to the width of the terminal`() {
    #expect(Terminal.cut("12345", columns: 6) == "12345")
    #expect(Terminal.cut("123456", columns: 6) == "1234…")
    #expect(Terminal.cut("█████", columns: 4) == "██…" && Terminal.cut("ab", columns: 1) == "…" && Terminal.cut("ab", columns: 0) == "…")
  }

  @Test func `colours only where a terminal and its user have them, and never from data`() {
    #expect(Terminal.hasColours(isTerminal: true, environment: ["TERM": "xterm", "NO_COLOR": ""]))
    #expect(!Terminal.hasColours(isTerminal: false, environment: ["TERM": "xterm"]))
    #expect(!Terminal.hasColours(isTerminal: true, environment: ["NO_COLOR": "1"]))
    #expect(!Terminal.hasColours(isTerminal: true, environment: ["TERM": "dumb"]))
    let written = Mutex("")
    let write: @Sendable (ArraySlice<UInt8>, Int32) -> Void = { bytes, _ in
      written.withLock { $0 += String(decoding: bytes, as: UTF8.self) }
    }
    Console(hasColours: true, write).data("FAIL \u{1B}[2J", marking: "FAIL", .bad)
    Console(write).talk("FAIL", marking: "FAIL", .bad)
    #expect(written.withLock { $0 } == "\u{1B}[31mFAIL\u{1B}[0m \\u001b[2J\nFAIL\n")
  }
}
