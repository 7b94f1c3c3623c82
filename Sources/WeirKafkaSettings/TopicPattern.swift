import Glibc
import WeirCore

/// A pattern of topic names as librdkafka understands it: a POSIX extended regular expression that begins with `^`.
package struct TopicPattern {
  private final class Compiled {
    var regex: regex_t
    init?(_ text: String) {
      regex = regex_t()
      if regcomp(&regex, text, REG_EXTENDED | REG_NOSUB) != 0 { return nil }
    }
    deinit { regfree(&regex) }
  }

  /// Bytes of a pattern. The C library recurses for each parenthesis, and has no bound of its own.
  package static let bytesMax = 1024
  /// All counts of repetitions, `{n,m}`, multiplied: the C library copies what is repeated that many times.
  package static let repetitionsMax = 1000

  private let compiled: Compiled

  /// nil: it is not such an expression, or one beyond the bounds.
  package init?(_ text: String) {
    guard text.hasPrefix("^"), TopicPattern.isBounded(text), let compiled = Compiled(text) else { return nil }
    self.compiled = compiled
  }

  private static func isBounded(_ text: String) -> Bool {
    guard text.utf8.count <= bytesMax, !text.utf8.contains(0) else { return false }
    var repetitions = 1
    for interval in text.split(separator: "{", omittingEmptySubsequences: false).dropFirst() {
      let counts = interval.prefix { $0 != "}" }.split(separator: ",").compactMap { Int($0) }
      let (product, overflows) = repetitions.multipliedReportingOverflow(by: max(1, counts.max() ?? 1))
      guard !overflows, product <= repetitionsMax else { return false }
      repetitions = product
    }
    return true
  }

  package func fits(_ topic: String) -> Bool { regexec(&compiled.regex, topic, 0, nil, 0) == 0 }
}
