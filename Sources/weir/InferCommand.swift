import ArgumentParser
import WeirCommands
import WeirCore

struct Infer: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes a first pipeline for a capture, with its evidence in comments.",
    discussion: """
      It looks at the first 100,000 records or 32 MiB. JSON (lines, values that follow each other, arrays, an outer record with a list of \
      records) and rows with a header can be read.

      Examples:
        weir infer orders.ndjson > orders.yaml
        weir infer readings.csv.gz --stream readings
      """)
  @Argument(help: "Files (plain, gzip or zstd) in order, '-' for standard input, or s3://BUCKET/PREFIX.", completion: .file())
  var capture: [String]
  @Option(help: "Name of the pipeline and its tables. Default: that of the first file.") var stream: String?

  func run() async throws { try await looking { try await InferCommand.run(capture, stream: stream, console: $0) } }
}
