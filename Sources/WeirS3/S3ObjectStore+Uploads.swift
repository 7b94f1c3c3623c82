import WeirAWS
import WeirCore
import WeirS3Settings

extension S3ObjectStore {
  /// - Throws: never: without the permission, or in a store that lists no uploads, orphans stay, which cost money and nothing else.
  package func removeOrphans(olderThan age: Int64) async throws { _ = try? await abortUploads(olderThan: age) }

  /// Pages of a listing of uploads.
  private static let uploadPagesMax = 1000

  /// Aborts uploads below the lake's prefix that were begun before a time and not ended, and removes their parts, which cost money and are
  /// in no listing of objects. An upload that a live process still fills is never older than an attempt may be.
  /// - Parameter age: microseconds, by the service's clock, or by this machine's if it is slower: that one may be days ahead.
  /// - Returns: how many were aborted.
  @discardableResult
  package func abortUploads(olderThan age: Int64) async throws -> Int {
    let wall = connection.clock.wallMicroseconds
    let prefix = connection.location.prefix.isEmpty ? "" : connection.location.key("")
    var (count, marker) = (0, (key: String, id: String)?.none)
    for _ in 0..<S3ObjectStore.uploadPagesMax {
      let request = connection.requests.uploads(prefix, after: marker)
      let response = try await connection.send("list the uploads of", prefix, request, expecting: [200])
      guard let page = S3UploadsPage(response.body) else {
        throw connection.errors.error("list the uploads of", prefix, connection.errors.unreadable(request))
      }
      let now = min(wall, response.header("Date").flatMap { HTTPDate.seconds($0) }.map { $0 * 1_000_000 } ?? wall)
      let limit = now.saturatingSum(-age)
      for upload in page.uploads where upload.begunMicroseconds < limit && upload.key.utf8.starts(with: prefix.utf8) {
        let abort = connection.requests.abort(upload.key, of: upload.id)
        _ = try await connection.send("abort an upload of", upload.key, abort, expecting: [200, 204, 404])
        count += 1
      }
      guard let key = page.nextKey, let id = page.nextID else { break }
      marker = (key, id)
    }
    return count
  }
}
