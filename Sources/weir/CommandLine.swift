import ArgumentParser
import WeirService

extension Weir {
  /// Parses the command line and runs the command. In the parser's place, so that a wrong command line ends with 2 as a wrong
  /// pipeline file does (the parser's own code is 64), and a command without its subcommand is wrong, not a wish for help.
  static func main() async {
    do {
      var command = try parseAsRoot()
      guard type(of: command).configuration.subcommands.isEmpty else {
        refuse("Error: Missing subcommand\n\n" + helpMessage(for: type(of: command)))
      }
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
      let message = fullMessage(for: error)
      refuse(message + (isAboutNegativeKey(message) ? "\n" + State.Get.negativeKeyHint : ""))
    }
  }

  private static func refuse(_ message: String) -> Never {
    Console().talk(message)
    exit(withError: ExitCode(2))
  }

  /// A key that begins with - looks like an option.
  private static func isAboutNegativeKey(_ message: String) -> Bool {
    guard let found = message.range(of: "Unknown option '-") else { return false }
    return message[found.upperBound...].first?.isNumber == true
  }
}
