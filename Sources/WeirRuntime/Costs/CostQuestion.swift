import WeirConfiguration
import WeirCore
import WeirEngine
import WeirPlan

/// What adapters compute the cost of.
package struct CostQuestion: Sendable {
  let plan: CompiledPlan
  let activity: CostActivity
  let inputs: CostInputs
  let prices: PriceTable
}

extension AdapterRegistry {
  /// What a pipeline's services charge.
  /// - Parameters:
  ///   - prices: of a file; nil: the built-in ones.
  ///   - region: of the pipeline's services; nil: unknown.
  package func bill(_ pipeline: LoadedPipeline, _ inputs: CostInputs, prices: PriceTable?, region: String?) throws -> CostBill {
    let plan = CompiledPlan(pipeline.plan, lookups: pipeline.lookups)
    let activity = CostActivity(plan, inputs)
    let question = CostQuestion(plan: plan, activity: activity, inputs: inputs, prices: prices ?? .builtIn)
    let places = try Places(pipeline, lake: nil, store: nil)
    let spec = pipeline.plan
    var services = objectStores.first { $0.accepts(places.lake) }?.costs(places.lake, question) ?? []
    if !spec.state.isEmpty { services += stateTables.last { $0.accepts(places.store) }?.costs(places.store, question) ?? [] }
    services += source(spec.source.adapter)?.costs(spec.source.settings, question) ?? []
    return CostBill(activity, inputs, prices: question.prices, isBuiltIn: prices == nil, region: region, services: services)
  }
}
