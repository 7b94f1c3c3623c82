import WeirCore
import WeirOperators
import WeirKafkaSettings
import WeirPlan
import Yams

/// Why an option of the client cannot be given; nil: it can.
package typealias KafkaOptionCheck = @Sendable (_ name: String, _ value: String, KafkaOptions.Role) -> String?

/// `source: {kafka: …}`: topics, whose partitions are lanes.
package struct KafkaSection: SourceSection {
  private let refusal: KafkaOptionCheck

  /// - Parameter refusal: the client knows the values that its options accept.
  package init(refusal: @escaping KafkaOptionCheck = { KafkaOptions.reason(against: $0, $1, $2) }) { self.refusal = refusal }

  package var settings: any SourceSettings.Type { KafkaSourceSpec.self }
  package var shape: ValueShape { .table(.kafka) }

  package func read(_ node: Node, with loader: PipelineLoader) -> SourceSpec? { loader.kafka(node, refusal) }
}

extension PipelineLoader {
  fileprivate func kafka(_ node: Node, _ refusal: KafkaOptionCheck) -> SourceSpec? {
    let what = "source.kafka"
    let members = reader.mapping(node, what, .kafka)
    var settings = KafkaSettingsSpec()
    if let brokers = reader.required(members, "brokers", of: what, at: node) {
      settings.brokers = brokerList(brokers, "\(what).brokers") ?? ""
    }
    if let group = reader.required(members, "group", of: what, at: node) {
      settings.group = reader.string(group, "\(what).group") ?? ""
      if settings.group.isEmpty, group.scalar?.string.isEmpty == true {
        reader.report("\(what).group must not be empty: it is the name of the consumer group", "bad_value", at: group)
      }
    }
    let topics = self.topics(members, node)
    if let start = members["start"] { settings.start = self.start(start, topics) ?? .earliest }
    if let assignment = members["assignment"].flatMap({ reader.choice($0, "\(what).assignment", KeyTable.kafka.choices("assignment")) }) {
      settings.isCooperative = assignment == "cooperative"
    }
    if let instance = members["instance"] { settings.instance = text(instance, "\(what).instance") }
    if let isolation = members["isolation"].flatMap({ reader.choice($0, "\(what).isolation", KeyTable.kafka.choices("isolation")) }) {
      settings.readsUncommitted = isolation == "read_uncommitted"
    }
    if let session = members["session"].flatMap({ reader.duration($0, "\(what).session", within: LiveBounds.session) }) {
      settings.sessionMicroseconds = session
    }
    if let time = members["handover"].flatMap({ reader.duration($0, "\(what).handover", within: LiveBounds.handOver) }) {
      settings.handOverMicroseconds = time
    }
    if let time = members["silence"].flatMap({ reader.duration($0, "\(what).silence", within: LiveBounds.silence) }) {
      settings.silenceMicroseconds = time
    }
    if let idle = members["idle"].flatMap({ reader.duration($0, "\(what).idle", within: LiveBounds.idle) }) {
      settings.idleMicroseconds = idle
    }
    if let refresh = members["refresh"].flatMap({ reader.duration($0, "\(what).refresh", within: LiveBounds.refresh) }) {
      settings.refreshMicroseconds = refresh
    }
    if let queue = members["queue"].flatMap({ reader.bytes($0, "\(what).queue", within: LiveBounds.queue) }) { settings.queueBytes = queue }
    settings.tls = members["tls"].map { tls($0, "\(what).tls") }
    settings.sasl = members["sasl"].flatMap { sasl($0, "\(what).sasl") }
    settings.options = options(members["options"], "\(what).options") { refusal($0, $1, .consumer) }
    for problem in settings.problems {
      let member = problem.member.split(separator: ".").first.map(String.init) ?? problem.member
      reader.report("\(what).\(problem.member) \(problem.message)", problem.code, at: members[member])
    }
    guard let stream = stream(members, topics, node) else { return nil }
    var spec = KafkaSourceSpec(topics: topics, settings: settings)
    if let rule = members["partitioner"] {
      spec.partitioner = reader.choice(rule, "\(what).partitioner", KeyTable.kafka.choices("partitioner")).flatMap(Partitioner.init)
    }
    if let misplaced = members["misplaced"] {
      let choices = Misplaced.allCases.map(\.rawValue)
      spec.misplaced = reader.choice(misplaced, "\(what).misplaced", choices).flatMap(Misplaced.init) ?? .halt
    }
    return SourceSpec(stream: stream, settings: spec)
  }

  /// librdkafka's own, by name.
  func options(_ node: Node?, _ what: String, refusal: (String, String) -> String?) -> [String: String] {
    guard let node else { return [:] }
    var options: [String: String] = [:]
    for (name, key, value) in reader.named(node, what) {
      guard let text = reader.string(value, "\(what).\(name)") else { continue }
      if let why = refusal(name, text) { reader.report("\(what).\(name): \(why)", "bad_value", at: key) }
      options[name] = text
    }
    return options
  }

  private func topics(_ members: [String: Node], _ node: Node) -> [String] {
    if members["topic"] != nil, members["topics"] != nil {
      reader.report("source.kafka: either topic or topics, not both", "bad_value", at: members["topics"])
    }
    guard let list = members["topics"] ?? members["topic"] else {
      reader.report("source.kafka needs topic, or topics", "missing_key", at: node)
      return []
    }
    let found = reader.strings(list, "source.kafka.topics")
    var names: [String] = []
    for (name, item) in found {
      if let problem = KafkaSourceSpec.problem(ofTopic: name) {
        reader.report("source.kafka: \(problem.message)", problem.code, at: item)
      } else if !KafkaSourceSpec.isPattern(name), names.contains(name) {
        reader.report("source.kafka: duplicate topic \(name)", "duplicate_name", at: item)
      }
      names.append(name)
    }
    if found.isEmpty { reader.report("source.kafka must name at least one topic", "missing_key", at: list) }
    return names.sorted()
  }

  /// The tables' name: given, or that of the only topic.
  private func stream(_ members: [String: Node], _ topics: [String], _ node: Node) -> String? {
    if let given = members["stream"] { return tableName(given, "source.kafka.stream", dots: true) }
    guard topics.count == 1, !KafkaSourceSpec.isPattern(topics[0]) else {
      if !topics.isEmpty {
        reader.report(
          "source.kafka needs stream: a name for the tables of several topics", "missing_key",
          at: members["topics"] ?? members["topic"] ?? node)
      }
      return nil
    }
    return (members["topic"] ?? members["topics"]).flatMap {
      tableName($0.sequence.flatMap { $0.first } ?? $0, "source.kafka.topic (the tables' name; give stream: for another)", dots: true)
    }
  }

  func brokerList(_ node: Node, _ what: String) -> String? {
    guard let text = text(node, what) else { return nil }
    if let reason = KafkaNames.refusal(ofBrokers: text) {
      // The text itself is not shown: it may hold a secret.
      reader.report("\(what)\(node.mapping == nil ? "" : ", \(shown(text, node))"): \(reason)", "bad_value", at: node)
      return nil
    }
    return text
  }

  /// `earliest`, `latest`, a time in ISO 8601 with its zone, or offsets by partition: `{orders/0: 120}`.
  private func start(_ node: Node, _ topics: [String]) -> KafkaSettingsSpec.Start? {
    if node.mapping != nil {
      var offsets: [String: Int64] = [:]
      for (name, key, value) in reader.named(node, "source.kafka.start") {
        let parts = name.split(separator: "/")
        guard parts.count == 2, topics.contains(where: { $0 == parts[0] || TopicPattern($0)?.fits(String(parts[0])) == true }),
          Int32(parts[1]) ?? -1 >= 0
        else {
          reader.report("source.kafka.start: \(name) is not a partition of the topics: \(topics.first ?? "topic")/0", "bad_name", at: key)
          continue
        }
        guard let offset = reader.string(value, "source.kafka.start").flatMap({ Int64($0) }), offset >= 0 else {
          reader.report("source.kafka.start.\(name) needs an offset", "bad_value", at: value)
          continue
        }
        offsets[name] = offset
      }
      return .offsets(offsets)
    }
    guard let text = reader.string(node, "source.kafka.start") else { return nil }
    switch text {
    case "earliest": return .earliest
    case "latest": return .latest
    default:
      if let time = TimeText.microseconds(text) { return .time(time) }
      reader.report(
        "source.kafka.start: \(text) must be earliest, latest, a time such as 2026-01-31T00:00:00Z, or offsets such as {topic/0: 120}",
        "bad_value", at: node, suggestion: nearestName(text, in: ["earliest", "latest"]))
      return nil
    }
  }

  // MARK: Identity

  func tls(_ node: Node, _ what: String) -> TLSSpec {
    let members = reader.mapping(node, what, .tls)
    var tls = TLSSpec()
    tls.authorities = reader.path(members["ca"], "\(what).ca").map { Paths.resolve($0, in: directory) }
    tls.certificate = reader.path(members["certificate"], "\(what).certificate").map { Paths.resolve($0, in: directory) }
    tls.key = members["key"].flatMap { secret($0, "\(what).key") }
    tls.keyPassword = members["key_password"].flatMap { secret($0, "\(what).key_password") }
    if let verify = members["verify_host"].flatMap({ reader.choice($0, "\(what).verify_host", ["true", "false"]) }) {
      tls.checksHostName = verify == "true"
    }
    if (tls.certificate == nil) != (tls.key == nil), members["certificate"] == nil || members["key"] == nil {
      reader.report("\(what): mutual TLS needs both certificate and key", "missing_key", at: node)
    }
    return tls
  }

  func sasl(_ node: Node, _ what: String) -> KafkaSettingsSpec.SASL? {
    let members = reader.mapping(node, what, .sasl)
    let mechanisms = KeyTable.sasl.choices("mechanism")
    guard
      let name = reader.required(members, "mechanism", of: what, at: node).flatMap({ reader.choice($0, "\(what).mechanism", mechanisms) })
    else { return nil }
    for key in ["user", "password", "token"] where name == "AWS_MSK_IAM" && members[key] != nil {
      reader.report("\(what): AWS_MSK_IAM takes no \(key): tokens are signed with the AWS keys of the worker", "bad_value", at: node)
    }
    if name == "AWS_MSK_IAM" { return .awsIAM(region: members["region"].flatMap { reader.text($0, "\(what).region") }?.text) }
    if members["region"] != nil { reader.report("\(what): only AWS_MSK_IAM has a region", "bad_value", at: node) }
    if name == "OAUTHBEARER" {
      return reader.required(members, "token", of: what, at: node).flatMap { secret($0, "\(what).token") }.map { .token($0) }
    }
    guard let user = reader.required(members, "user", of: what, at: node).flatMap({ secret($0, "\(what).user") }),
      let password = reader.required(members, "password", of: what, at: node).flatMap({ secret($0, "\(what).password") })
    else { return nil }
    return .password(mechanism: name, user: user, password: password)
  }

  /// A value of ``text(_:_:)`` for a message: what comes from the environment may hold a secret.
  func shown(_ text: String, _ node: Node) -> String {
    node.mapping.flatMap { $0.first { $0.key.string == "env" }?.value.string }.map { "the value of \($0)" } ?? text
  }

  /// A text, or `{env: NAME}`: what differs from container to container.
  func text(_ node: Node, _ what: String) -> String? {
    guard node.mapping != nil else { return reader.string(node, what) }
    let members = reader.mapping(node, what, .variable)
    guard let variable = reader.required(members, "env", of: what, at: node), let name = reader.string(variable, "\(what).env") else {
      return nil
    }
    return reader.variable(name, what, at: variable)
  }
}
