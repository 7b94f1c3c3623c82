import WeirCore
import WeirKafkaSettings
import WeirOperators
import WeirPlan
import Yams

/// `sinks: {kafka: …}`: topics that tables are published to.
package struct KafkaSinkSection: SinkSection {
  private let refusal: KafkaOptionCheck

  /// - Parameter refusal: the client knows the values that its options accept.
  package init(refusal: @escaping KafkaOptionCheck = { KafkaOptions.reason(against: $0, $1, $2) }) { self.refusal = refusal }

  package var settings: any SinkSettings.Type { KafkaSinkSpec.self }
  package var shape: ValueShape { .table(.kafkaSink) }

  package func read(_ node: Node, with loader: PipelineLoader) -> PlanSinks? { loader.kafkaSink(node, refusal) }
}

extension PipelineLoader {
  fileprivate func kafkaSink(_ node: Node, _ refusal: KafkaOptionCheck) -> PlanSinks? {
    let what = "sinks.kafka"
    let members = reader.mapping(node, what, .kafkaSink)
    guard let topics = reader.required(members, "topics", of: what, at: node) else { return nil }
    var spec = KafkaSinkSpec(brokers: members["brokers"].flatMap { brokerList($0, "\(what).brokers") })
    let routes = reader.named(topics, "\(what).topics").compactMap { name, key, value in
      reader.text(value, "\(what).topics.\(name)").map { (table: PlanText(name, at: key.span), topic: $0) }
    }
    let start: SinkSpec.Start? = members["start"].flatMap { choice($0, "\(what).start") }
    if let compression = members["compression"] { spec.compression = choice(compression, "\(what).compression") ?? spec.compression }
    if let rule = members["partitioner"] { spec.partitioner = choice(rule, "\(what).partitioner") ?? spec.partitioner }
    let behind = members["behind"].flatMap { reader.text($0, "\(what).behind") }
    spec.tls = members["tls"].map { tls($0, "\(what).tls") }
    spec.sasl = members["sasl"].flatMap { sasl($0, "\(what).sasl") }
    spec.options = options(members["options"], "\(what).options") { refusal($0, $1, .gaplessProducer) }
    var sinks = PlanSinks(spec, routes: routes)
    sinks.hasPlace = members["brokers"] != nil
    (sinks.start, sinks.behind, sinks.routesSpan, sinks.span) = (start, behind, topics.span, node.span)
    return sinks
  }

  private func choice<T: RawRepresentable & CaseIterable>(_ node: Node, _ what: String) -> T? where T.RawValue == String {
    reader.choice(node, what, T.allCases.map(\.rawValue)).flatMap(T.init)
  }
}
