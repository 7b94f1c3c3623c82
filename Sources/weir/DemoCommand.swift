import ArgumentParser
import WeirAdmin
import WeirCommands

/// `weir demo`.
struct Demo: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a built-in stream through a built-in pipeline, and shows the result.",
    discussion: """
      It needs no files and no network, and takes less than a second. It sends 20,000 generated orders, some of them late, sent \
      twice or damaged, through the same engine as `weir replay`.

      Examples:
        weir demo
        weir demo --show-pipeline > orders.yaml
        weir demo --keep weir-demo
      """)

  @Flag(help: "Print the pipeline instead of running it.") var showPipeline = false
  @Option(help: "Leave the files in this new directory: pipeline, stream, lake and state table.", completion: .directory)
  var keep: String?

  func run() async throws {
    try await exiting {
      try await DemoCommand.run(keep: keep, showPipeline: showPipeline, host: AdminServer(), console: $0)
    }
  }
}
