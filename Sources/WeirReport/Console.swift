import Foundation
import WeirCore

/// Where a command writes: results to standard output, messages to standard error.
///
/// All output of all commands goes through one of these. A failed write of results ends the command (see ``finish(_:)``), and no
/// character of data can steer a terminal.
package struct Console: Sendable {
  private let output: StandardOutput
  private let messages: @Sendable (ArraySlice<UInt8>) -> Void
  /// Whether standard output is a terminal.
  private let showsResults: Bool
  /// Whether results and messages may have colours.
  private let colours: (results: Bool, messages: Bool)

  package init() {
    output = .system
    messages = { StandardError.system.write($0) }
    showsResults = isatty(1) == 1
    colours = (Terminal.hasColours(1), Terminal.hasColours(2))
  }

  /// - Parameters:
  ///   - showsResults: as if standard output were a terminal.
  ///   - hasColours: as if the terminal had them.
  ///   - write: gets what would go to standard output (1) or standard error (2).
  init(
    showsResults: Bool = false, hasColours: Bool = false,
    _ write: @escaping @Sendable (_ bytes: ArraySlice<UInt8>, _ descriptor: Int32) -> Void
  ) {
    output = StandardOutput { bytes in
      write(bytes, 1)
      return 0
    }
    messages = { write($0, 2) }
    self.showsResults = showsResults
    colours = (hasColours, hasColours)
  }

  /// - Parameter results: gets the results; returns 0 or the number of an error.
  package init(
    results: @escaping @Sendable (ArraySlice<UInt8>) -> Int32, messages: @escaping @Sendable (ArraySlice<UInt8>) -> Void = { _ in }
  ) {
    output = StandardOutput(results)
    self.messages = messages
    showsResults = false
    colours = (false, false)
  }

  /// Results: a line for people, or a JSON line.
  package func data(_ line: String) { output.write(Array((TerminalText.escape(line) + "\n").utf8)[...]) }

  /// A line for people of which a part has a style.
  package func data(_ line: String, marking mark: String, _ style: TextStyle) {
    guard colours.results else { return data(line) }
    output.write(Array((style.applied(to: TerminalText.escape(line), marking: mark) + "\n").utf8)[...])
  }

  /// Results for programs: whole lines. What is not shown on a terminal stays as it is.
  package func data(_ lines: [UInt8]) { output.write(showsResults ? TerminalText.escape(lines[...]) : lines[...]) }

  /// JSON lines for programs. Control characters and changes of direction are escaped, also where no terminal shows them: the lines may end
  /// up on one, and to a reader of JSON `\u009b` is the same character.
  package func json(_ lines: [UInt8]) { output.write(TerminalText.escape(lines[...])) }

  /// A message: a line on standard error.
  package func talk(_ line: String) { messages(Array((TerminalText.escape(line) + "\n").utf8)[...]) }

  /// A message of which a part has a style.
  package func talk(_ line: String, marking mark: String, _ style: TextStyle) {
    guard colours.messages else { return talk(line) }
    messages(Array((style.applied(to: TerminalText.escape(line), marking: mark) + "\n").utf8)[...])
  }

  /// Overwrites the current line on standard error: a progress bar, cut to the terminal's width. Only for a terminal.
  package func status(_ line: String) {
    let text = Terminal.cut(TerminalText.inline(line), columns: Terminal.columns(2))
    messages(Array(("\r\u{1B}[2K" + text).utf8)[...])
  }

  package var isTerminal: Bool { isatty(2) == 1 }

  // MARK: When results cannot be written

  /// To be asked now and then by what writes many results.
  /// - Throws: `output` after a write has failed.
  package func check() throws(WeirError) { try output.check() }

  /// For commands whose work is not their output: a reader that has gone does not end them.
  /// - Parameter stop: asks the command to end in order, since its output is lost (a full disk, say).
  package func outliveReader(_ stop: @escaping @Sendable () -> Void) { output.outliveReader(stop) }

  /// As a shell reports a program that SIGPIPE ended.
  private static let readerGone: Int32 = 128 + 13

  /// To be called once, at the end of each command.
  /// - Returns: the exit code: `code`; 1 with a message if results were lost; 141 without one if the reader had enough of them.
  package func finish(_ code: Int32) -> Int32 {
    guard let (failure, isReaderGone) = output.finish() else { return code }
    if isReaderGone { return Console.readerGone }
    talk("weir: \(failure.words)")
    return 1
  }

  /// Whether ``finish(_:)`` reports an error itself.
  package func reports(_ error: WeirError) -> Bool { error.code == .output }
}
