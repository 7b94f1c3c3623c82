import Foundation
import WeirLoad
import WeirReport

/// With what a load was made: for its report.
enum LoadRun {
  static func facts(_ options: LoadOptions, startedMicroseconds: Int64) -> LoadFacts {
    var facts = LoadFacts()
    facts.command = command(options.commandLine)
    facts.version = weirVersion
    facts.host = host()
    facts.seed = options.capture == nil ? options.seed : nil
    facts.startedMicroseconds = startedMicroseconds
    return facts
  }

  /// A command line that a shell accepts. Values of `--option` are left out: they may be secrets.
  static func command(_ words: [String]) -> String {
    var (shown, isValue) = ([String](), false)
    for word in words {
      let text = isValue || word.hasPrefix("--option=") ? hidden(word) : word
      isValue = word == "--option"
      shown.append(quoted(text))
    }
    return (["weir"] + shown).joined(separator: " ")
  }

  /// `sasl.password=…`
  private static func hidden(_ word: String) -> String {
    let start = word.hasPrefix("--option=") ? "--option=" : ""
    return start + word.dropFirst(start.count).prefix { $0 != "=" } + "=…"
  }

  private static func quoted(_ word: String) -> String {
    let plain = word.allSatisfy { $0.isLetter || $0.isNumber || "-_./:,=+@%…".contains($0) }
    return plain && !word.isEmpty ? word : "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }

  /// Name, cores and system of this machine.
  private static func host() -> String {
    var names = utsname()
    guard uname(&names) == 0 else { return "unknown" }
    func text<T>(_ field: T) -> String {
      withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    let cores = ProcessInfo.processInfo.activeProcessorCount
    return "\(text(names.nodename)), \(cores) cores, \(text(names.sysname)) \(text(names.release)) \(text(names.machine))"
  }
}
