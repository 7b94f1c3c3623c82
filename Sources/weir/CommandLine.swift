import ArgumentParser
import CWeirSystem
import Foundation
import WeirCommands
import WeirReport

extension Weir {
  /// Parses the command line and runs the command. In the parser's place, so that a wrong command line ends with 2 as a wrong
  /// pipeline file does (the parser's own code is 64), and a command without its subcommand is wrong, not a wish for help.
  static func main() async {
    StandardStreams.prepare()
    refuseArgumentsThatAreNotText()
    let arguments = Array(CommandLine.arguments.dropFirst())
    if arguments.sorted() == ["--json", "--version"] {
      let console = Console()
      console.data(VersionCommand.json)
      exit(withError: ExitCode(console.finish(0)))
    }
    if let unknown = UnknownNames.command(in: arguments) { refuse(unknown) }
    do {
      var command = try parseAsRoot()
      guard type(of: command).configuration.subcommands.isEmpty else {
        refuse("Error: Missing subcommand\n\n" + helpMessage(for: type(of: command)))
      }
      weir_limit_heaps(command is any KafkaCommand ? Heaps.forThreads : Heaps.forCores)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      guard exitCode(for: error) == .validationFailure else { end(error) }
      if let unknown = UnknownNames.option(in: arguments) { refuse(unknown) }
      let message = fullMessage(for: error)
      refuse(message + (isAboutNegativeKey(message) ? "\n" + State.Get.negativeKeyHint : negativeValueHint(message, arguments)))
    }
  }

  /// Ends with a command's exit code, or with help that was asked for.
  private static func end(_ error: any Error) -> Never {
    let code = exitCode(for: error)
    let message = fullMessage(for: error)
    let console = Console()
    guard code.isSuccess else {
      if !message.isEmpty { console.talk(message) }
      exit(withError: code)
    }
    if !message.isEmpty { console.data(message) }
    exit(withError: ExitCode(console.finish(0)))
  }

  /// Swift repairs an argument that is not UTF-8: the command would open or create something with another name.
  private static func refuseArgumentsThatAreNotText() {
    for number in 1..<max(1, Int(CommandLine.argc)) {
      guard let argument = CommandLine.unsafeArgv[number], String(validatingCString: argument) == nil else { continue }
      refuse(
        "Error: argument \(number), \(String(cString: argument)), is not UTF-8. Weir cannot name such a file or directory: rename it, or make a link to it with a name in UTF-8."
      )
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

  /// A value that begins with - looks like an option, too.
  private static func negativeValueHint(_ message: String, _ arguments: [String]) -> String {
    guard message.contains("Missing value for '--") else { return "" }
    for (option, value) in zip(arguments, arguments.dropFirst()) where option.hasPrefix("--") && value.hasPrefix("-") {
      guard value.dropFirst().first?.isNumber == true else { continue }
      return "\nA value that begins with - needs an equals sign: \(option)=\(value)"
    }
    return ""
  }
}

/// A command that moves records through librdkafka: its messages are made one by one on one thread and freed one by one on another.
protocol KafkaCommand {}

extension Run: KafkaCommand {}
extension Capture: KafkaCommand {}
extension Load: KafkaCommand {}
extension MockKafka: KafkaCommand {}

/// How many heaps glibc may make; a thread's first allocation takes one, so this is set before threads are started.
private enum Heaps {
  /// As many as threads run at once, instead of eight times as many: blocks are made by one thread and freed by another,
  /// and what is free in one heap is no use to the others. A tenth of the memory of a replay with all tables.
  static var forCores: Int32 { Int32(max(2, ProcessInfo.processInfo.activeProcessorCount)) }

  /// One for each thread. A message is freed into the heap that it was made in, under that heap's lock: where threads share heaps,
  /// the engine's allocations wait for it too, in the kernel. With two heaps `Scripts/bench kafka` reads a quarter less.
  static let forThreads: Int32 = 128
}
