import ArgumentParser
import WeirCommands
import WeirPlan

struct Explain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints the typed plan, its dataflow and its tables, or what its services cost.",
    discussion: """
      --cost computes requests, units and dollars per million records and per month from the plan's settings and from what no plan \
      contains: the options below, each with a default that is printed. Lookups are read as by weir check, and no other request is made. Prices are built in, with their date; \
      --prices FILE replaces them.

      Examples:
        weir explain pipeline.yaml --json
        weir explain pipeline.yaml --cost --records-per-second 5000 --keys 100000
        weir explain --prices-template > prices.yaml
      """)
  @Argument(help: "The pipeline file (YAML).", completion: .pipeline) var pipeline: String?
  @Flag(help: "Print a JSON object; its shape is documented and stable.") var json = false
  @Flag(help: "Print what the services cost instead of the plan.") var cost = false
  @OptionGroup(title: "What a cost depends on") var inputs: CostOptions
  @Option(help: "Prices instead of the built-in ones (YAML or JSON).", completion: .file()) var prices: String?
  @Flag(help: "Print the built-in prices as a file for --prices.") var pricesTemplate = false

  func validate() throws {
    if pricesTemplate { return }
    guard pipeline != nil else { throw ValidationError("Missing expected argument '<pipeline>'") }
    guard cost || prices == nil && inputs.values.isEmpty && inputs.region == nil else {
      throw ValidationError("--prices and the options for costs need --cost")
    }
  }

  func run() async throws {
    try await looking { console in
      guard let pipeline, !pricesTemplate else { return CostCommand.template(console: console) }
      guard cost else { return try await PlanCommands.explain(pipeline, json: json, console: console) }
      return try await CostCommand.run(pipeline, inputs.values, prices: prices, region: inputs.region, json: json, console: console)
    }
  }
}

/// What a bill depends on and no pipeline file contains.
struct CostOptions: ParsableArguments {
  @Option(help: "Records per second, of all partitions (default: 1000).") var recordsPerSecond: Double?
  @Option(help: "Bytes of a record's value (default: 500). If given, storage is estimated.") var recordBytes: Int?
  @Option(help: "Partitions of the source (default: 12).") var partitions: Int?
  @Option(help: "Distinct keys of each state table (default: 10000).") var keys: Int?
  @Option(help: "Bytes of a key of a state table (default: 24).") var keyBytes: Int?
  @Option(help: "Data files of a table per commit: partition values in it (default: 1).") var files: Int?
  @Option(help: "Workers (default: 1).") var workers: Int?
  @Option(help: "Region of the services; a notice if the prices are of another one.") var region: String?

  var values: [CostInputs.Name: Double] {
    let all: [(CostInputs.Name, Double?)] = [
      (.recordsPerSecond, recordsPerSecond), (.recordBytes, recordBytes.map(Double.init)), (.partitions, partitions.map(Double.init)),
      (.keys, keys.map(Double.init)), (.keyBytes, keyBytes.map(Double.init)), (.files, files.map(Double.init)),
      (.workers, workers.map(Double.init)),
    ]
    return all.reduce(into: [:]) { $0[$1.0] = $1.1 }
  }
}
