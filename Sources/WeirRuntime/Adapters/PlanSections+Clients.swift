import WeirConfiguration
import WeirCore
import WeirKafka
import WeirKafkaSettings
import WeirPlan

extension PlanSections {
  /// With the clients' own checks of their options, and the secrets of this machine.
  package static let withClients: PlanSections = {
    let refusal: KafkaOptionCheck = { KafkaOptions.refusal($0, $1, $2) }
    var sections = PlanSections(
      sources: [CaptureSection(), KafkaSection(refusal: refusal), KinesisSection()],
      sinks: [KafkaSinkSection(refusal: refusal)],
      stateTables: AdapterRegistry.standard.stateTables.map(\.section),
      tableFormats: AdapterRegistry.standard.tableFormats.map(\.section))
    // A check asks nothing of a network.
    sections.secret = { if case .stored = $0 { nil } else { try? $0.read() } }
    sections.lookupFiles = { file throws(InputFile.Refusal) in try LookupReading.bytes(file.place, file.bytesMax) }
    return sections
  }()
}
