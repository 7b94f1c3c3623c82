import WeirConfiguration
import WeirCore
import WeirKafka
import WeirKafkaSettings

extension PlanSections {
  /// With the clients' own checks of their options, and the secrets of this machine.
  package static let withClients: PlanSections = {
    let refusal: KafkaOptionCheck = { KafkaOptions.refusal($0, $1, $2) }
    var sections = PlanSections(
      sources: [CaptureSection(), KafkaSection(refusal: refusal)], sinks: [KafkaSinkSection(refusal: refusal)],
      stateTables: AdapterRegistry.standard.stateTables.map(\.section),
      tableFormats: AdapterRegistry.standard.tableFormats.map(\.section))
    sections.secret = { try? $0.read() }
    return sections
  }()
}
