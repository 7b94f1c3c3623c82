import WeirCore
import WeirLocal
import WeirOperators
import Yams

/// `source: {capture: …}`: files, which the engine partitions over lanes.
struct CaptureAdapter: SourceAdapter {
  var settings: any SourceSettings.Type { CaptureSourceSettings.self }

  func read(_ node: Node, with loader: PipelineLoader) -> SourceSpec? {
    let reader = loader.reader
    let members = reader.mapping(node, "source.capture", keys: ["stream", "deal"])
    guard
      let stream = reader.required(members, "stream", of: "source.capture", at: node).flatMap({
        loader.tableName($0, "source.capture.stream", dots: true)
      })
    else { return nil }
    let deal = members["deal"].flatMap { reader.choice($0, "source.capture.deal", ["murmur2", "md5"]) }.flatMap(Dealing.init(rawValue:))
    return SourceSpec(stream: stream, deal: deal ?? .murmur2, settings: CaptureSourceSettings())
  }

  func words(_ plan: Plan) -> String {
    let key = plan.record.key.map { plan.record.fields[$0].name } ?? "nothing (one lane has all)"
    return "capture \(plan.source.stream), distributed over lanes by \(plan.source.deal.rawValue) of \(key)"
  }

  func live(_ settings: any SourceSettings) -> (any LiveSource)? { nil }
}
