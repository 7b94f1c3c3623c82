/// What is wrong with a setting, whatever wrote it.
package struct KafkaSettingProblem: Sendable, Equatable {
  /// The member of the settings.
  package var member: String
  /// What follows the member's name.
  package var message: String
  /// Of the diagnostic.
  package var code: String
}

extension KafkaSettingsSpec {
  /// Settings that do not fit each other.
  package var problems: [KafkaSettingProblem] {
    var found: [KafkaSettingProblem] = []
    if silence < rebalance {
      found.append(
        KafkaSettingProblem(
          member: "silence",
          message:
            "must be at least \(KafkaSettingsSpec.seconds(rebalance)) s, the time that the group waits for its members (the longer of session and twice handover)",
          code: "bad_duration"))
    }
    if let beat = options["heartbeat.interval.ms"].flatMap({ Int64($0) }), beat * 2000 > sessionMicroseconds {
      found.append(
        KafkaSettingProblem(
          member: "options.heartbeat.interval.ms",
          message: "must be at most half of session: the group would drop this worker again and again", code: "bad_value"))
    }
    if case .awsIAM = sasl, tls == nil {
      found.append(
        KafkaSettingProblem(
          member: "sasl.mechanism", message: "AWS_MSK_IAM works over TLS only: write tls: {} and the brokers' port for it (9098)",
          code: "bad_value"))
    }
    return found
  }

  /// With one digit after the point.
  private static func seconds(_ microseconds: Int64) -> String {
    let tenths = (microseconds + 50_000) / 100_000
    return "\(tenths / 10).\(tenths % 10)"
  }
}

extension KafkaSourceSpec {
  /// What is wrong with the name of a topic, or the pattern of several; nil: nothing.
  package static func problem(ofTopic name: String) -> KafkaSettingProblem? {
    if isPattern(name) {
      guard TopicPattern(name) == nil else { return nil }
      return KafkaSettingProblem(
        member: "topics",
        message:
          "\(name) is not a regular expression (POSIX extended, up to \(TopicPattern.bytesMax) bytes, and repetitions {n,m} that multiply to \(TopicPattern.repetitionsMax) or less)",
        code: "bad_value")
    }
    if KafkaNames.isTopic(name) { return nil }
    return KafkaSettingProblem(member: "topics", message: "\(name) is not a valid topic name", code: "bad_name")
  }
}
