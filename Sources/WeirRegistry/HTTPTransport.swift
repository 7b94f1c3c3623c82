import WeirCore

/// A request for a document.
package struct HTTPRequest: Sendable, Hashable {
  package var url: String
  /// Name and value. May hold secrets: never to be printed.
  package var headers: [Header]

  package struct Header: Sendable, Hashable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  package init(url: String, headers: [Header] = []) {
    self.url = url
    self.headers = headers
  }
}

package struct HTTPResponse: Sendable, Hashable {
  package var status: Int
  package var body: [UInt8]

  package init(status: Int, body: [UInt8]) {
    self.status = status
    self.body = body
  }
}

/// Gets documents over HTTP: libcurl, or a stand-in of a test.
package protocol HTTPTransport: Sendable {
  /// Any answer, whatever its status.
  /// - Throws: a ``WeirError`` without one: retriable if the other side is unreachable, not if it is not trusted.
  func get(_ request: HTTPRequest) async throws -> HTTPResponse
}
