import WeirCore

/// Texts that name brokers and topics.
package enum KafkaNames {
  /// Why a text is not a list of brokers, without a word of it: people put users and passwords into addresses. nil: it is one.
  ///
  /// librdkafka itself takes an address with a scheme and a user, and logs it.
  package static func refusal(ofBrokers text: String) -> String? {
    let addresses = text.split(separator: ",", omittingEmptySubsequences: false)
    guard let bad = addresses.firstIndex(where: { !HostAddress.isHostAndPort($0.drop { $0 == " " }) }) else { return nil }
    return "address \(bad + 1) is not HOST:PORT (a host name, an IPv4 or an [IPv6] address, and a port); "
      + "leave out schemes and users: use tls and sasl"
  }

  /// What a broker accepts as the name of a topic.
  package static func isTopic(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 249 && name != "." && name != ".."
      && name.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) || [0x2D, 0x2E, 0x5F].contains($0) }
  }
}
