import ArgumentParser
import Foundation
import WeirCore
import WeirOperators

/// Finds a command or an option that does not exist, and the nearest name that does.
enum UnknownNames {
  /// The first word that must be a command and is none. The parser would show help for it, or call it an unexpected argument.
  static func command(in arguments: [String]) -> String? {
    var command: any ParsableCommand.Type = Weir.self
    var words = arguments[...]
    if words.first == "help" { words.removeFirst() }
    for word in words where !command.configuration.subcommands.isEmpty {
      guard !word.hasPrefix("-") else { return nil }
      let all = command.configuration.subcommands
      guard let next = all.first(where: { $0._commandName == word }) else {
        let names = all.map { $0._commandName } + (command == Weir.self ? ["help"] : [])
        let path = command == Weir.self ? "weir" : "weir \(command._commandName)"
        return """
          Error: Unknown command '\(word)'\(question(word, names))
          Commands of \(path): \(names.joined(separator: ", "))
            See '\(path) --help' for more information.
          """
      }
      command = next
    }
    return nil
  }

  /// The first option that the command does not have, before an error that may only follow from it, such as a missing argument.
  static func option(in arguments: [String]) -> String? {
    let (path, names) = options(of: arguments)
    for argument in arguments.prefix(while: { $0 != "--" }) where argument.hasPrefix("--") {
      let name = String(argument.prefix { $0 != "=" })
      if names.contains(name) || name == "--help" || name == "--version" { continue }
      // Options inside of the parser, such as the one that prints a completion script.
      if name.hasPrefix("--generate-") || name.hasPrefix("--experimental-") { return nil }
      return "Error: Unknown option '\(name)'\(question(name, names))\n  See '\(path) --help' for more information."
    }
    return nil
  }

  private static func question(_ name: String, _ names: [String]) -> String {
    nearestName(name, in: names).map { ". Did you mean '\($0)'?" } ?? ""
  }

  /// The command of a command line, as it is written, and its options, from the table that makes the help.
  private static func options(of arguments: [String]) -> (path: String, names: [String]) {
    let table = (try? JSONValue(parsing: Array(Weir._dumpHelp().utf8))) ?? .null
    var (path, command) = ("weir", table["command"])
    for word in arguments {
      guard let next = command?["subcommands"]?.array?.first(where: { $0["commandName"]?.string == word }) else { break }
      (path, command) = (path + " " + word, next)
    }
    let names = (command?["arguments"]?.array ?? []).flatMap { $0["names"]?.array ?? [] }
      .filter { $0["kind"]?.string == "long" }.compactMap { $0["name"]?.string }
    return (path, names.map { "--" + $0 })
  }
}
