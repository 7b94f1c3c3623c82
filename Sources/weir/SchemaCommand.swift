import ArgumentParser
import WeirCommands

struct Schema: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints a JSON schema of pipeline files, for editors.",
    discussion: """
      Write it to a file, and name the file in the first line of a pipeline: \
      # yaml-language-server: $schema=pipeline.schema.json

      Examples:
        weir schema > pipeline.schema.json
      """)

  func run() async throws { try await looking { PlanCommands.schema(console: $0) } }
}
