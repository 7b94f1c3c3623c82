import Glibc
import WeirCore

/// A pattern of topic names as librdkafka understands it: a POSIX extended regular expression that begins with `^`.
public struct TopicPattern {
  private final class Compiled {
    var regex: regex_t
    init?(_ text: String) {
      regex = regex_t()
      if regcomp(&regex, text, REG_EXTENDED | REG_NOSUB) != 0 { return nil }
    }
    deinit { regfree(&regex) }
  }

  private let compiled: Compiled

  /// nil: it is no such expression.
  public init?(_ text: String) {
    guard text.hasPrefix("^"), let compiled = Compiled(text) else { return nil }
    self.compiled = compiled
  }

  public func fits(_ topic: String) -> Bool { regexec(&compiled.regex, topic, 0, nil, 0) == 0 }
}

extension KafkaSourceSpec {
  /// Whether the topic is one of those named, or fits one of the patterns.
  public func reads(_ topic: String) -> Bool { topics.contains { $0 == topic || TopicPattern($0)?.fits(topic) == true } }
}
