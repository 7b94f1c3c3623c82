import WeirCore

/// A request for a document.
public struct HTTPRequest: Sendable, Hashable {
  public var url: String
  /// Name and value. May hold secrets: never to be printed.
  public var headers: [Header]

  public struct Header: Sendable, Hashable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  public init(url: String, headers: [Header] = []) {
    self.url = url
    self.headers = headers
  }
}

public struct HTTPResponse: Sendable, Hashable {
  public var status: Int
  public var body: [UInt8]

  public init(status: Int, body: [UInt8]) {
    self.status = status
    self.body = body
  }
}

/// Gets documents over HTTP: libcurl, or a stand-in of a test.
public protocol HTTPTransport: Sendable {
  /// Any answer, whatever its status.
  /// - Throws: a ``WeirError`` without one: retriable if the other side is unreachable, not if it is not trusted.
  func get(_ request: HTTPRequest) async throws -> HTTPResponse
}
