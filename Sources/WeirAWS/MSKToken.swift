import WeirCore

/// Tokens with which Kafka clients of Amazon MSK authenticate (SASL mechanism OAUTHBEARER, called AWS_MSK_IAM).
///
/// A token is a signed address of the action `kafka-cluster:Connect`, in base64. Source of the format: aws-msk-iam-sasl-signer-python,
/// MSKAuthTokenProvider.py.
package enum MSKToken {
  /// Seconds that a token is valid.
  package static let seconds = 900
  private static let userAgent = "weir"

  /// - Parameter seconds: since 1970.
  /// - Returns: the token, and the end of its validity in seconds since 1970. Temporary keys may expire before it.
  package static func sign(region: String, credentials: AWSCredentials, at seconds: Int64) -> (token: String, expiresAt: Int64) {
    let host = "kafka.\(region).amazonaws.com"
    let request = SignedRequest(
      method: "GET", path: "/", query: [.init("Action", "kafka-cluster:Connect")], headers: [.init("Host", host)])
    var signed = SigV4(region: region, service: "kafka-cluster")
      .signQuery(request, credentials, at: seconds, expiresAfter: MSKToken.seconds)
    // After the signature, which does not cover it.
    signed.query.append(.init("User-Agent", userAgent))
    let token = Base64.encode(Array("https://\(host)\(signed.target)".utf8), .urlWithoutPadding)
    return (token, seconds + Int64(MSKToken.seconds))
  }
}
