import WeirAWS
import WeirCore
import WeirS3Settings

extension S3ObjectStore {
  package func get(_ path: String) async throws -> [UInt8]? {
    let key = try connection.key(path)
    let request = connection.requests.get(key)
    let response = try await connection.send("read", key, request, expecting: [200, 404])
    return response.status == 404 ? nil : try whole(response, key, request)
  }

  package func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    let key = try connection.key(path)
    guard offset >= 0, count >= 0 else {
      throw WeirError(.storageRefused, "cannot read \(count) bytes from byte \(offset) of \(place)/\(path)")
    }
    // A range has one byte at least; of none, only whether the object is there matters.
    let last = offset.saturatingSum(Int64(max(1, count)) - 1)
    let request = connection.requests.get(key, range: offset...last)
    do {
      let response = try await connection.send(request, expecting: [200, 206, 404])
      if response.status == 404 { return nil }
      let bytes = try whole(response, key, request)
      // A store that does not know ranges sends everything.
      let found = response.status == 200 ? Array(bytes.dropFirst(Int(offset)).prefix(count)) : bytes
      guard found.count <= max(1, count) else { throw connection.errors.error("read", key, connection.errors.unreadable(request)) }
      return Array(found.prefix(count))
    } catch let failure as AWSFailure {
      // The object is shorter.
      if failure.status == 416 { return [] }
      throw connection.errors.error("read", key, failure)
    }
  }

  /// The body, unless it was cut short.
  private func whole(_ response: AWSResponse, _ key: String, _ request: AWSRequest) throws(WeirError) -> [UInt8] {
    if let length = response.header("Content-Length").flatMap({ Int($0) }), length != response.body.count {
      throw connection.errors.error("read", key, connection.errors.unreadable(request))
    }
    return response.body
  }

  // MARK: List

  package func list(_ prefix: String) async throws -> [ObjectInfo] { try await list(prefix, from: "") }

  package func list(_ prefix: String, from first: String) async throws -> [ObjectInfo] {
    let location = connection.location
    let asked = location.prefix.isEmpty ? prefix : location.key(prefix)
    // The listing begins after a key, and the first path belongs to it.
    let after = first.utf8.lexicographicallyPrecedes(prefix.utf8) || first.isEmpty ? nil : S3Text.before(location.key(first))
    var found: [ObjectInfo] = []
    try await connection.eachPage(asked, after: after) { page in
      found += objects(of: page, prefix).filter { !$0.path.utf8.lexicographicallyPrecedes(first.utf8) }
      return true
    }
    return S3ObjectStore.ordered(found)
  }

  package func page(of prefix: String, after next: String?) async throws -> ObjectPage {
    let asked = connection.location.prefix.isEmpty ? prefix : connection.location.key(prefix)
    let page = try await connection.page(asked, after: nil, token: next)
    if let next, page.next == next { throw connection.endless(asked) }
    return ObjectPage(S3ObjectStore.ordered(objects(of: page, prefix)), next: page.next)
  }

  private func objects(of page: S3ListPage, _ prefix: String) -> [ObjectInfo] {
    page.objects.compactMap { object in
      guard let path = connection.location.path(ofKey: object.key), path.utf8.starts(with: prefix.utf8) else { return nil }
      return ObjectInfo(path: path, bytes: object.bytes, modifiedMicroseconds: object.modifiedMicroseconds)
    }
  }

  /// S3 lists in this order; some stores do not.
  private static func ordered(_ found: [ObjectInfo]) -> [ObjectInfo] {
    let isOrdered = zip(found, found.dropFirst()).allSatisfy { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    return isOrdered ? found : found.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }
}
