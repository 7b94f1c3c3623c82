import WeirCore
import WeirKafkaSettings
import WeirOperators
import Yams

/// `sinks: {kafka: …}`: topics that tables are published to.
package struct KafkaSinkSection: SinkSection {
  private let refusal: KafkaOptionCheck

  /// - Parameter refusal: the client knows the values that its options accept.
  package init(refusal: @escaping KafkaOptionCheck = { KafkaOptions.reason(against: $0, $1, $2) }) { self.refusal = refusal }

  package var settings: any SinkSettings.Type { KafkaSinkSpec.self }

  package func read(_ node: Node, _ plan: Plan, with loader: PipelineLoader) -> SinkSpec? { loader.kafkaSink(node, plan, refusal) }
}

extension PipelineLoader {
  private static let keys = [
    "brokers", "topics", "start", "compression", "partitioner", "behind", "tls", "sasl", "options",
  ]

  fileprivate func kafkaSink(_ node: Node, _ plan: Plan, _ refusal: KafkaOptionCheck) -> SinkSpec? {
    let what = "sinks.kafka"
    let members = reader.mapping(node, what, keys: PipelineLoader.keys)
    if KafkaSourceSpec.of(plan) == nil { _ = reader.required(members, "brokers", of: what, at: node) }
    guard let topics = reader.required(members, "topics", of: what, at: node) else { return nil }
    var spec = KafkaSinkSpec(brokers: members["brokers"].flatMap { brokerList($0, "\(what).brokers") })
    let routes = routes(topics, "\(what).topics", plan)
    let start: SinkSpec.Start? = members["start"].flatMap { choice($0, "\(what).start") }
    if let compression = members["compression"] { spec.compression = choice(compression, "\(what).compression") ?? spec.compression }
    if let rule = members["partitioner"] { spec.partitioner = choice(rule, "\(what).partitioner") ?? spec.partitioner }
    var behindMax: Int64?
    if let behind = members["behind"], let text = reader.string(behind, "\(what).behind") {
      if let count = Int64(text), count > 0, count <= 1_000_000 {
        behindMax = count
      } else {
        reader.report("\(what).behind: \(text) is not a number of ledger entries from 1 to 1000000", "bad_value", at: behind)
      }
    }
    spec.tls = members["tls"].map { tls($0, "\(what).tls") }
    spec.sasl = members["sasl"].flatMap { sasl($0, "\(what).sasl") }
    spec.options = options(members["options"], "\(what).options") { refusal($0, $1, .gaplessProducer) }
    var sink = SinkSpec(routes: routes, settings: spec)
    if let start { sink.start = start }
    if let behindMax { sink.behindMax = behindMax }
    return sink
  }

  private func choice<T: RawRepresentable & CaseIterable>(_ node: Node, _ what: String) -> T? where T.RawValue == String {
    reader.choice(node, what, T.allCases.map(\.rawValue)).flatMap(T.init)
  }

  /// `{gold/NAME: TOPIC, late/NAME: TOPIC, quarantine: TOPIC}`
  private func routes(_ node: Node, _ what: String, _ plan: Plan) -> [SinkSpec.Route] {
    let quarantine = plan.path(of: .quarantine)
    let tables = plan.tables.filter { ![.bronze, .silver, .quarantine].contains($0.kind) }.map(\.name)
    var routes: [SinkSpec.Route] = []
    for (name, key, value) in reader.named(node, what) {
      guard let topic = reader.string(value, "\(what).\(name)") else { continue }
      let isDeadLetters = name == "quarantine" || name == quarantine
      if !isDeadLetters, !tables.contains(name) {
        reader.report(
          "\(what): \(name) is not a table that can be published: gold/NAME, late/NAME or quarantine", "unknown_table", at: key,
          suggestion: nearestName(name, in: tables + ["quarantine"]))
      } else if !KafkaNames.isTopic(topic) {
        reader.report("\(what).\(name): \(topic) is not a valid topic name", "bad_name", at: value)
      } else if KafkaSourceSpec.of(plan)?.reads(topic) == true {
        reader.report("\(what).\(name): the pipeline reads the topic \(topic) itself", "bad_value", at: value)
      } else if isDeadLetters, routes.contains(where: { $0.table == quarantine }) {
        reader.report("\(what): quarantine and \(quarantine) are the same table", "duplicate_name", at: key)
      }
      routes.append(.init(table: isDeadLetters ? quarantine : name, topic: topic))
    }
    if routes.isEmpty { reader.report("\(what) names no table", "missing_key", at: node) }
    return routes.sorted { $0.table < $1.table }
  }
}
