import WeirCore
import WeirKinesisSettings
import WeirOperators
import WeirPlan
import Yams

/// `source: {kinesis: …}`: a stream, whose shards are lanes.
package struct KinesisSection: SourceSection {
  package init() {}

  package var settings: any SourceSettings.Type { KinesisSourceSpec.self }
  package var shape: ValueShape { .table(.kinesis) }

  package func read(_ node: Node, with loader: PipelineLoader) -> SourceSpec? { loader.kinesis(node) }
}

extension PipelineLoader {
  fileprivate func kinesis(_ node: Node) -> SourceSpec? {
    let what = "source.kinesis"
    let members = reader.mapping(node, what, .kinesis)
    var settings = KinesisSettingsSpec()
    let name = reader.required(members, "stream", of: what, at: node).flatMap { kinesisStream($0, &settings) }
    if let app = reader.required(members, "app", of: what, at: node), let text = text(app, "\(what).app") {
      settings.app = text
      if !KinesisNames.isApp(text) {
        let reason = "it is also the name of the table with the leases: 3 to 255 letters, digits, underscores, hyphens and dots"
        reader.report("\(what).app: \(reason)", "bad_value", at: app)
      }
    }
    if let start = members["start"] { settings.start = kinesisStart(start) ?? .trimHorizon }
    kinesisFanOut(members, name, &settings)
    kinesisPlaces(members, &settings)
    kinesisTimes(members, &settings)
    guard let name else { return nil }
    var spec = KinesisSourceSpec(stream: name, settings: settings)
    if let misplaced = members["misplaced"] {
      let choices = Misplaced.allCases.map(\.rawValue)
      spec.misplaced = reader.choice(misplaced, "\(what).misplaced", choices).flatMap(Misplaced.init) ?? .halt
    }
    guard builder.isTableName(PlanText(name, at: members["stream"]?.span), "\(what).stream", dots: true) else { return nil }
    return SourceSpec(stream: name, settings: spec)
  }

  private func kinesisFanOut(_ members: [String: Node], _ stream: String?, _ settings: inout KinesisSettingsSpec) {
    let what = "source.kinesis"
    let way = members["read"].flatMap { reader.choice($0, "\(what).read", KeyTable.kinesis.choices("read")) }
    if way == "fan_out" {
      settings.fanOut = KinesisSettingsSpec.FanOut()
      if let node = members["poll"] {
        reader.report("\(what).poll is for read: polling: by enhanced fan-out no shard is asked", "bad_value", at: node)
      }
    }
    guard let node = members["consumer_arn"], let arn = text(node, "\(what).consumer_arn") else { return }
    let named = KinesisNames.stream(ofConsumerARN: arn)
    if way != "fan_out" {
      reader.report("\(what).consumer_arn is for read: fan_out", "bad_value", at: node)
    } else if named == nil {
      let form = "arn:aws:kinesis:REGION:ACCOUNT:stream/NAME/consumer/CONSUMER:TIME"
      reader.report("\(what).consumer_arn: not the ARN of a consumer: \(form)", "bad_value", at: node)
    } else if let stream, named != stream {
      reader.report("\(what).consumer_arn: it is a consumer of the stream \(named ?? ""), not of \(stream)", "bad_value", at: node)
    }
    settings.fanOut?.consumerARN = arn
  }

  /// A name or an ARN.
  private func kinesisStream(_ node: Node, _ settings: inout KinesisSettingsSpec) -> String? {
    guard let text = text(node, "source.kinesis.stream") else { return nil }
    if let parts = KinesisNames.parts(ofARN: text) {
      (settings.arn, settings.region) = (text, parts.region)
      return parts.stream
    }
    guard KinesisNames.isStream(text) else {
      let reason =
        text.hasPrefix("arn:")
        ? "not the ARN of a stream: arn:aws:kinesis:REGION:ACCOUNT:stream/NAME" : "a name has 1 to 128 letters, digits and _.-"
      reader.report("source.kinesis.stream: \(reason)", "bad_value", at: node)
      return nil
    }
    return text
  }

  private func kinesisStart(_ node: Node) -> KinesisSettingsSpec.Start? {
    guard let text = reader.string(node, "source.kinesis.start") else { return nil }
    switch text {
    case "trim_horizon": return .trimHorizon
    case "latest": return .latest
    default:
      if let time = TimeText.microseconds(text), time >= 0 { return .time(time) }
      reader.report(
        "source.kinesis.start: \(text) must be trim_horizon, latest or a time such as 2026-01-31T00:00:00Z", "bad_value", at: node,
        suggestion: nearestName(text, in: ["trim_horizon", "latest"]))
      return nil
    }
  }

  private func kinesisPlaces(_ members: [String: Node], _ settings: inout KinesisSettingsSpec) {
    let what = "source.kinesis"
    if let node = members["region"], let region = text(node, "\(what).region") {
      if !KinesisNames.isRegion(region) {
        reader.report("\(what).region: a region is a name such as eu-central-1", "bad_value", at: node)
      } else if let other = settings.region, other != region {
        reader.report("\(what).region: the stream's ARN is of \(other)", "bad_value", at: node)
      }
      settings.region = region
    }
    for (key, place) in [("endpoint", \KinesisSettingsSpec.endpoint), ("lease_endpoint", \.leaseEndpoint)] {
      guard let node = members[key], let address = text(node, "\(what).\(key)") else { continue }
      if !KinesisNames.isEndpoint(address) {
        let reason = "an endpoint is an address http://HOST:PORT or https://HOST, with a port up to 65535, without user and parameters"
        reader.report("\(what).\(key): \(reason)", "bad_value", at: node)
      }
      settings[keyPath: place] = address
    }
    if let create = members["create"].flatMap({ reader.choice($0, "\(what).create", ["true", "false"]) }) {
      settings.createsTable = create == "true"
    }
  }

  private func kinesisTimes(_ members: [String: Node], _ settings: inout KinesisSettingsSpec) {
    let times: [(String, WritableKeyPath<KinesisSettingsSpec, Int64>, LiveBounds.Bounds)] = [
      ("lease", \.leaseMicroseconds, LiveBounds.lease), ("poll", \.pollMicroseconds, LiveBounds.poll),
      ("handover", \.handOverMicroseconds, LiveBounds.handOver), ("idle", \.idleMicroseconds, LiveBounds.idle),
      ("refresh", \.refreshMicroseconds, LiveBounds.refresh),
    ]
    for (key, place, bounds) in times {
      guard let node = members[key], let time = reader.duration(node, "source.kinesis.\(key)", within: bounds) else { continue }
      settings[keyPath: place] = time
    }
  }
}
