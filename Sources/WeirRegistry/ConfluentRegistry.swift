import WeirCore

/// A schema registry with Confluent's interface (theirs, Karapace, Apicurio's compatible one, Redpanda's).
///
/// Source: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
package struct ConfluentRegistry: SchemaRegistry {
  /// Our credentials, read again for each request: a token may be renewed.
  package enum Identity: Sendable {
    case basic(user: Text, password: Text)
    case bearer(Text)

    package typealias Text = @Sendable () async throws -> String
  }

  /// Schemas that one schema may refer to, directly or not.
  package static let referencesMax = 64

  private let url: String
  private let identity: Identity?
  private let transport: any HTTPTransport
  private let refused: (@Sendable () -> Bool)?

  /// - Parameters:
  ///   - url: without a slash at its end.
  ///   - refused: the registry did not accept the credentials (401). True: newer ones may be read now, and the request is sent once more.
  package init(
    url: String, identity: Identity? = nil, transport: any HTTPTransport, refused: (@Sendable () -> Bool)? = nil
  ) {
    self.refused = refused
    self.url = url
    self.identity = identity
    self.transport = transport
  }

  package func schema(_ id: SchemaID) async throws -> RegisteredSchema? {
    let path =
      switch id {
      case .number(let number): "/schemas/ids/\(number)"
      case .guid(let guid): "/schemas/guids/\(guid)"
      }
    guard let answer = try await get(path) else { return nil }
    var found = Found()
    try await collect(answer, &found, path)
    return RegisteredSchema(type: answer["schemaType"]?.string ?? "AVRO", schema: try text(answer, path), references: found.references)
  }

  private struct Found {
    var references: [RegisteredSchema.Reference] = []
    var seen: Set<String> = []
  }

  /// Those that a reference refers to come before it.
  private func collect(_ answer: JSONValue, _ found: inout Found, _ path: String) async throws {
    for reference in answer["references"]?.array ?? [] {
      guard let name = reference["name"]?.string, let subject = reference["subject"]?.string, let version = reference["version"]?.int
      else { throw broken(path) }
      let place = "/subjects/\(ConfluentRegistry.escape(subject))/versions/\(version)"
      guard found.seen.insert(place).inserted else { continue }
      guard found.seen.count <= ConfluentRegistry.referencesMax else {
        throw WeirError(.registry, "\(url)\(path) refers to more than \(ConfluentRegistry.referencesMax) schemas")
      }
      guard let inner = try await get(place) else {
        throw WeirError(
          .registry, "\(url)\(place), which a schema refers to, does not exist (any more)", advice: "Restore it in the registry.")
      }
      try await collect(inner, &found, place)
      found.references.append(.init(name: name, schema: try text(inner, place)))
    }
  }

  private func text(_ answer: JSONValue, _ path: String) throws -> String {
    guard let text = answer["schema"]?.string else { throw broken(path) }
    return text
  }

  private func broken(_ path: String) -> WeirError {
    WeirError(.registry, "\(url)\(path) answers, but not like a schema registry", advice: "Check \(.setting(.registryURL)).")
  }

  // MARK: Requests

  /// nil: there is no such schema.
  private func get(_ path: String) async throws -> JSONValue? {
    var response = try await transport.get(HTTPRequest(url: url + path, headers: try await headers()))
    if response.status == 401, refused?() == true {
      response = try await transport.get(HTTPRequest(url: url + path, headers: try await headers()))
    }
    let value = try? JSONValue(parsing: response.body)
    switch response.status {
    case 200:
      guard let value else { throw broken(path) }
      return value
    // 404 alone is a path that the server does not have; these say which thing is not there.
    case 404 where [40401, 40402, 40403].contains(value?["error_code"]?.int): return nil
    case 404: throw broken(path)
    case 401, 403:
      throw WeirError(
        .registry, "\(url)\(path) was refused (\(response.status))",
        advice: "Check \(.setting(.registry)): user and password, or token, and its permissions.")
    case 408, 429, 500...:
      throw WeirError(
        .unavailable, "\(url)\(path) answered with status \(response.status)", advice: "Weir tries again. Is the registry healthy?")
    default: throw WeirError(.registry, "\(url)\(path) answered with status \(response.status)", advice: "Check \(.setting(.registryURL)).")
    }
  }

  private func headers() async throws -> [HTTPRequest.Header] {
    var headers = [HTTPRequest.Header("Accept", "application/vnd.schemaregistry.v1+json, application/json")]
    switch identity {
    case nil: break
    case .bearer(let token)?:
      let text = try await token()
      // A line end would begin another header.
      guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
        throw WeirError(
          .registry, "the registry's token contains a character that is invalid in a token",
          advice: "Is it the token alone, without a line end?")
      }
      headers.append(.init("Authorization", "Bearer \(text)"))
    case .basic(let user, let password)?:
      headers.append(.init("Authorization", "Basic \(Base64.encode(Array("\(try await user()):\(try await password())".utf8)))"))
    }
    return headers
  }

  /// A part of a path (RFC 3986).
  static func escape(_ text: String) -> String {
    let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
    return String(
      decoding: text.utf8.flatMap { plain.contains($0) ? [$0] : Array("%\(RecordHeaders.hex([$0]).uppercased())".utf8) }, as: UTF8.self)
  }
}
