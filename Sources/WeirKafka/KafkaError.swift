import CKafka
import WeirCore

/// What went wrong with Kafka, and what a caller may do about it: the questions that every ``WeirError`` answers.
package struct KafkaError: Error, Sendable, CustomStringConvertible {
  /// librdkafka's name of the error, like `_TRANSPORT` or `TOPIC_AUTHORIZATION_FAILED`; `settings` for our own check.
  package var name: String
  /// librdkafka's number; 0 for our own errors.
  package var number: Int32
  /// What happened and where. Without secrets.
  package var message: String
  package var advice: Wording?
  /// True when the same call may succeed later without anybody acting.
  package var isRetriable: Bool
  package var fatalTo: WeirError.Scope
  /// True when repeating the call cannot do harm.
  package var isSafeToRepeat: Bool
  /// The partition that it is about, if one.
  package var partition: KafkaPartition?
  /// What was tried: the beginning of ``message``.
  private(set) var action = ""

  package var description: String { advice.map { "\(message)\n  \($0)" } ?? message }

  /// The same as the engine's error.
  package var weirError: WeirError {
    // What librdkafka refuses to be set, and a secret that is not there, are mistakes of the pipeline file or the command line.
    WeirError(code, message, advice: advice)
  }

  private var code: WeirError.Code {
    if name == KafkaError.settingsName { return .config }
    if KafkaErrorKind(rd_kafka_resp_err_t(rawValue: number)) == .missing { return .topicMissing }
    if isRetriable { return .unavailable }
    return switch fatalTo {
    case .operation: .requestFailed
    case .worker: .clientEnded
    case .pipeline: .refused
    }
  }

  private static let settingsName = "settings"

  /// A setting that cannot be used.
  static func settings(_ message: String, advice: Wording? = nil) -> KafkaError {
    KafkaError(
      name: settingsName, number: 0, message: message, advice: advice, isRetriable: false, fatalTo: .pipeline,
      isSafeToRepeat: true)
  }

  /// A call that does not fit the state of the client: a mistake of the caller.
  static func misuse(_ message: String) -> KafkaError {
    KafkaError(
      name: "misuse", number: 0, message: message, isRetriable: false, fatalTo: .operation, isSafeToRepeat: true)
  }

  /// An error of librdkafka or of a broker.
  /// - Parameters:
  ///   - action: what was tried, to begin the message with: `cannot read topic/3`.
  ///   - detail: librdkafka's own words, if it said more than the code.
  ///   - repeats: what a repeated call would do, where the code alone does not show it.
  init(
    _ code: rd_kafka_resp_err_t, _ action: String, detail: String? = nil, partition: KafkaPartition? = nil,
    repeats: Bool = true
  ) {
    let kind = KafkaErrorKind(code)
    name = String(cString: rd_kafka_err2name(code))
    number = code.rawValue
    self.action = action
    message = "\(action): \(detail ?? String(cString: rd_kafka_err2str(code))) (\(name))"
    advice = kind.advice
    isRetriable = kind.isRetriable
    fatalTo = kind.fatalTo
    isSafeToRepeat = repeats
    self.partition = partition
  }

  private init(
    name: String, number: Int32, message: String, advice: Wording? = nil, isRetriable: Bool, fatalTo: WeirError.Scope,
    isSafeToRepeat: Bool
  ) {
    self.name = name
    self.number = number
    self.message = message
    self.advice = advice
    self.isRetriable = isRetriable
    self.fatalTo = fatalTo
    self.isSafeToRepeat = isSafeToRepeat
  }
}

/// The classes that codes fall into. Decided in one place, with the reason for each class.
enum KafkaErrorKind {
  /// The network or a broker is unreachable, or a leader moves; librdkafka itself tries again and again.
  case passing
  /// The topic, the group or the cluster is not ours to use. An operator has to act.
  case refused
  /// There is no such topic or partition (any more): a deleted topic comes back only if it is created again.
  case missing
  /// Another client took this one's identity (a static member's id, a producer's epoch), or the client is broken for
  /// good. This worker cannot continue; another, or this one after a restart, can.
  case finished
  /// The record itself cannot be taken: too large, invalid. Others can.
  case record
  case other

  init(_ code: rd_kafka_resp_err_t) {
    switch code {
    case RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__TIMED_OUT,
      RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, RD_KAFKA_RESP_ERR__QUEUE_FULL,
      RD_KAFKA_RESP_ERR__WAIT_COORD, RD_KAFKA_RESP_ERR__IN_PROGRESS,
      RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
      RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
      RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
      RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
      RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_PREFERRED_LEADER_NOT_AVAILABLE,
      RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
      self = .passing
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
      RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR__SSL:
      self = .refused
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
      RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
      self = .missing
    case RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
      RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, RD_KAFKA_RESP_ERR__DESTROY,
      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
      self = .finished
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_INVALID_MSG,
      RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
      self = .record
    default: self = .other
    }
  }

  var isRetriable: Bool { self == .passing }

  var fatalTo: WeirError.Scope {
    switch self {
    case .passing, .record, .other: .operation
    case .finished: .worker
    case .refused, .missing: .pipeline
    }
  }

  var advice: Wording? {
    switch self {
    case .passing:
      "Can this machine resolve and reach these addresses, and do tls and sasl match the brokers? The client's log lines above have details."
    case .refused: "Check user, password, certificates and this user's permissions for topic and group."
    case .missing:
      "Check the topic's name, or create the topic. If its records were read before it was deleted, create it again, and continue with \(.acceptRecreated(stream: "TOPIC"))."
    case .finished: "Another client uses the same group.instance.id, or replaced this one. Start this worker again."
    case .record: "Raise the limit of topic, broker and client (\(.clientOption("message.max.bytes"))), or send the record elsewhere."
    case .other: nil
    }
  }
}
