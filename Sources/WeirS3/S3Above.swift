import WeirAWS
import WeirCore
import WeirS3Settings

/// Looks for a directory's name below prefixes of a bucket, with one request for each.
package struct S3Above: Sendable {
  private let connection: S3Connection

  package init(_ settings: S3Settings, sender: any AWSSender, clock: any Clock, random: any RandomSource) {
    connection = S3Connection(settings, sender, clock, random)
  }

  /// Whether there are keys that begin with `prefix/name/`.
  /// - Parameter prefix: empty: the whole bucket.
  /// - Returns: nil: it is unknown, since the permission to list there is missing.
  /// - Throws: what may pass: the store does not answer.
  package func holds(_ name: String, below prefix: String) async throws(WeirError) -> Bool? {
    let start = (prefix.isEmpty ? name : prefix + "/" + name) + "/"
    do throws(WeirError) {
      let page = try await connection.page(start, after: nil, token: nil, keysMax: 1)
      return page.objects.contains { $0.key.utf8.starts(with: start.utf8) }
    } catch {
      if error.isRetriable { throw error }
      return nil
    }
  }
}
