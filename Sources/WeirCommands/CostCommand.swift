import WeirConfiguration
import WeirCore
import WeirPlan
import WeirReport
import WeirRuntime

/// `weir explain --cost`.
package enum CostCommand {
  /// - Parameters:
  ///   - prices: a file; nil: the built-in prices.
  ///   - region: of the pipeline's services.
  package static func run(
    _ file: String, _ values: [CostInputs.Name: Double], prices: String?, region: String?, json: Bool, console: Console
  ) async throws -> Int32 {
    let pipeline = try await LoadedPipeline.read(file)
    let table = try prices.map { path throws(WeirError) in try PriceFile.read(path) }
    let bill = try AdapterRegistry.standard.bill(pipeline, try CostInputs(values), prices: table, region: region)
    let name = pipeline.plan.pipeline
    console.data(json ? CostDocument.json(bill, pipeline: name).text : CostText.text(bill, pipeline: name))
    return 0
  }

  /// `weir explain --prices-template`.
  package static func template(console: Console) -> Int32 {
    console.data(PriceTable.builtIn.yaml)
    return 0
  }
}
