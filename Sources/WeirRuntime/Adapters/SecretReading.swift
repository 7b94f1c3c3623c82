import WeirCore

extension SecretSpec {
  /// The secret's value, read now. An error names its place and never the value.
  package func read() throws(WeirError) -> String {
    do { return try KafkaWiring.secret(self).read() } catch { throw WeirError(.config, error.message, advice: error.advice) }
  }
}
