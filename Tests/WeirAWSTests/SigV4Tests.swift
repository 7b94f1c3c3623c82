import Foundation
import Testing

@testable import WeirAWS

/// The suite of test cases that AWS publishes (aws-c-auth, tests/aws-signing-test-suite/v4, Apache-2.0), each signed in both ways.
struct SigV4Tests {
  struct Case: Decodable, Sendable {
    struct Context: Decodable, Sendable {
      struct Keys: Decodable, Sendable {
        var accessKeyId: String
        var secretAccessKey: String
        var token: String?
      }
      var credentials: Keys
      var expirationInSeconds: Int
      var normalize: Bool
      var region: String
      var service: String
      var signBody: Bool
      var timestamp: String
      var omitSessionToken: Bool?
    }
    var context: Context
    var request: String
    var headerCanonical: String
    var headerSignature: String
    var headerSigned: String
    var headerToSign: String
    var queryCanonical: String
    var querySignature: String
    var querySigned: String
    var queryToSign: String
  }

  static let cases: [String: Case] = {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("sigv4.json")
    return (try? JSONDecoder().decode([String: Case].self, from: Data(contentsOf: file))) ?? [:]
  }()

  @Test func `all cases of the suite are there`() { #expect(SigV4Tests.cases.count == 38) }

  @Test(arguments: SigV4Tests.cases.keys.sorted()) func `headers are signed as the suite says`(name: String) throws {
    let test = try #require(SigV4Tests.cases[name])
    let (signer, request, keys, seconds) = try parts(test)
    let signed = signer.sign(request, keys, at: seconds)
    let added = Dictionary(signed.headers.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
    let authorization = try #require(added["Authorization"])
    #expect(authorization.hasSuffix("Signature=" + test.headerSignature.trimmingCharacters(in: .newlines)))
    #expect(test.headerSigned.contains("Authorization:\(authorization)"))
    for name in ["X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"] {
      let expected = test.headerSigned.split(separator: "\n").first { $0.lowercased().hasPrefix(name.lowercased() + ":") }
      #expect(added[name] == expected.map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) })
    }
    var before = signed
    before.headers.removeAll { $0.name == "Authorization" || signer.omitsToken && $0.name == "X-Amz-Security-Token" }
    let canonical = signer.canonical(before).text
    #expect(canonical == test.headerCanonical)
    #expect(signer.stringToSign(canonical, SigV4.Moment(seconds)) == test.headerToSign)
  }

  @Test(arguments: SigV4Tests.cases.keys.sorted()) func `queries are signed as the suite says`(name: String) throws {
    let test = try #require(SigV4Tests.cases[name])
    var (signer, request, keys, seconds) = try parts(test)
    signer.namesBodyHash = false
    let signed = signer.signQuery(request, keys, at: seconds, expiresAfter: test.context.expirationInSeconds)
    #expect(signed.query.last == .init("X-Amz-Signature", test.querySignature.trimmingCharacters(in: .newlines)))
    let line = test.querySigned.prefix { $0 != "\n" }
    let wanted = Set(line.split(separator: "?").last!.split(separator: " ")[0].split(separator: "&").map { String($0) })
    #expect(
      Set(signed.target.split(separator: "?").last!.split(separator: "&").map { String($0) }).isSuperset(
        of: wanted.filter { $0.hasPrefix("X-Amz") }))
  }

  @Test func `no description has a secret`() {
    let keys = AWSCredentials(accessKeyID: "AKID", secretAccessKey: "very-secret", sessionToken: "very-secret-token")
    var dumped = ""
    dump(keys, to: &dumped)
    for text in ["\(keys)", String(reflecting: keys), dumped, "\([keys])", "\(Optional(keys) as Any)"] {
      #expect(text.contains("AKID") && !text.contains("secret"))
    }
  }

  private func parts(_ test: Case) throws -> (SigV4, SignedRequest, AWSCredentials, Int64) {
    let context = test.context
    var signer = SigV4(region: context.region, service: context.service)
    signer.normalizesPath = context.normalize
    signer.namesBodyHash = context.signBody
    signer.omitsToken = context.omitSessionToken ?? false
    let keys = AWSCredentials(
      accessKeyID: context.credentials.accessKeyId, secretAccessKey: context.credentials.secretAccessKey,
      sessionToken: context.credentials.token)
    let time = try #require(ISO8601DateFormatter().date(from: context.timestamp))
    return (signer, try request(test.request), keys, Int64(time.timeIntervalSince1970))
  }

  /// A request as text. A line that begins with a space continues the header before it.
  private func request(_ text: String) throws -> SignedRequest {
    let halves = text.components(separatedBy: "\n\n")
    var lines = halves[0].split(separator: "\n").map { String($0) }
    let first = lines.removeFirst()
    let method = String(first.prefix { $0 != " " })
    let target = String(first.dropFirst(method.count + 1).dropLast(" HTTP/1.1".count))
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    let query = (parts.count > 1 ? parts[1] : "").split(separator: "&").map { pair -> SignedRequest.Pair in
      let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map {
        String($0).removingPercentEncoding ?? ""
      }
      return .init(sides[0], sides.count > 1 ? sides[1] : "")
    }
    var headers: [SignedRequest.Pair] = []
    for line in lines {
      if line.hasPrefix(" "), let last = headers.popLast() {
        headers.append(.init(last.name, last.value + "\n" + line))
      } else {
        let sides = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        headers.append(.init(String(sides[0]), String(sides[1])))
      }
    }
    let body = halves.count > 1 ? halves[1...].joined(separator: "\n\n") : ""
    return SignedRequest(method: method, path: String(parts[0]), query: query, headers: headers, body: Array(body.utf8))
  }
}
