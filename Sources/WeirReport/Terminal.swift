import Foundation

/// How a part of a line is shown on a terminal that has colours.
package enum TextStyle: String, Sendable {
  case good = "32"
  case bad = "31"
  case warning = "33"
  case strong = "1"

  /// The line with the first occurrence of `mark` in this style. The line is safe already (``TerminalText``).
  func applied(to line: String, marking mark: String) -> String {
    guard !mark.isEmpty, let range = line.range(of: mark) else { return line }
    return line.replacingCharacters(in: range, with: "\u{1B}[\(rawValue)m\(mark)\u{1B}[0m")
  }
}

/// What a descriptor's terminal can do.
package enum Terminal {
  /// The width where the terminal does not report one.
  private static let columnsByDefault = 80

  /// Colours only on a terminal, and not where the user does not want them (https://no-color.org).
  static func hasColours(isTerminal: Bool, environment: [String: String]) -> Bool {
    isTerminal && environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
  }

  static func hasColours(_ descriptor: Int32) -> Bool {
    hasColours(isTerminal: isatty(descriptor) == 1, environment: ProcessInfo.processInfo.environment)
  }

  static func columns(_ descriptor: Int32) -> Int {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return columnsByDefault }
    return Int(size.ws_col)
  }

  /// What fits into one line of a terminal: the last column stays free, because some terminals wrap after it.
  static func cut(_ line: String, columns: Int) -> String {
    let most = max(1, columns - 1)
    return line.count <= most ? line : line.prefix(most - 1) + "…"
  }
}
