import WeirCore
import WeirLocal
import WeirOperators
import Yams

/// `source: {capture: …}`: files, which the engine partitions over lanes.
package struct CaptureSection: SourceSection {
  package init() {}

  package var settings: any SourceSettings.Type { CaptureSourceSettings.self }
  package var shape: ValueShape { .table(.capture) }

  package func read(_ node: Node, with loader: PipelineLoader) -> SourceSpec? {
    let reader = loader.reader
    let members = reader.mapping(node, "source.capture", .capture)
    guard
      let stream = reader.required(members, "stream", of: "source.capture", at: node).flatMap({
        loader.tableName($0, "source.capture.stream", dots: true)
      })
    else { return nil }
    let deal = members["deal"].flatMap { reader.choice($0, "source.capture.deal", KeyTable.capture.choices("deal")) }.flatMap(
      Dealing.init(rawValue:))
    return SourceSpec(stream: stream, deal: deal ?? .murmur2, settings: CaptureSourceSettings())
  }
}
