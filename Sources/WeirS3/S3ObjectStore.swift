import WeirAWS
import WeirCore
import WeirS3Settings

/// A bucket, or a part of one, as an object store. Put-if-absent is a PUT with `If-None-Match: *`.
///
/// The store must be strongly consistent and must let exactly one of several conditional writes win, as S3 does: ``StoreCheck`` finds out.
package final class S3ObjectStore: ObjectStore {
  let connection: S3Connection

  /// Requests of one ``write(_:)`` at once, and the bytes in them.
  private static let writesMax = 8
  private static let writeBytesMax = 32 << 20

  /// - Parameters:
  ///   - sender: to the service `s3`.
  ///   - clock: for the rests between tries, and for the age of uploads.
  ///   - random: for names of calls, and for rests.
  package init(_ settings: S3Settings, sender: any AWSSender, clock: any Clock, random: any RandomSource) {
    connection = S3Connection(settings, sender, clock, random)
  }

  package var place: String { connection.location.description }
  package var pathBytesMax: Int { connection.location.pathBytesMax }

  // MARK: Write

  package func write(_ objects: [NewObject]) async throws {
    let keyed = try objects.map { (key: try connection.key($0.path), pieces: $0.pieces, bytes: $0.pieces.reduce(0) { $0 + $1.count }) }
    var rest = keyed[...]
    try await withThrowingTaskGroup(of: Int.self) { group in
      var (count, bytes) = (0, 0)
      while let object = rest.first {
        while count > 0, count == S3ObjectStore.writesMax || bytes + object.bytes > S3ObjectStore.writeBytesMax {
          bytes -= try await group.next() ?? 0
          count -= 1
        }
        rest.removeFirst()
        (count, bytes) = (count + 1, bytes + object.bytes)
        group.addTask {
          try await self.write(object.key, object.pieces, bytes: object.bytes)
          return object.bytes
        }
      }
      try await group.waitForAll()
    }
  }

  /// Large objects are sent in parts, so that no second copy of them is in memory.
  private func write(_ key: String, _ pieces: [[UInt8]], bytes: Int) async throws {
    guard bytes > 2 * connection.settings.partBytes else {
      let body = NewObject(path: key, pieces: pieces).bytes
      let request = connection.requests.put(key, body, writer: connection.makeWriter(), ifAbsent: false)
      _ = try await connection.send("create", key, request, expecting: [200])
      return
    }
    let upload = S3Upload(connection, key, ifAbsent: false)
    do {
      for piece in pieces { try await upload.append(piece) }
    } catch {
      await upload.abandon()
      throw error
    }
    if case .unknown(let why) = await upload.finish() { throw S3ObjectStore.error(why) }
  }

  /// An outcome's text, which has the advice below the message.
  private static func error(_ text: String) -> WeirError {
    let lines = text.split(separator: "\n", maxSplits: 1)
    let advice = lines.count > 1 ? String(lines[1].drop { $0 == " " }) : "Run again: it resumes from the ledger."
    return WeirError(.storage, lines.first.map { String($0) } ?? text, advice: Wording(advice))
  }

  package func putIfAbsent(_ object: NewObject) async -> PutOutcome {
    do {
      let key = try connection.key(object.path)
      let writer = connection.makeWriter()
      return await connection.make(key, writer: writer, connection.requests.put(key, object.bytes, writer: writer, ifAbsent: true))
    } catch {
      return .unknown("\(error)")
    }
  }

  package func upload(_ path: String) async throws -> any ObjectUpload {
    S3Upload(connection, try connection.key(path), ifAbsent: true)
  }

  package func replace(_ object: NewObject) async throws {
    let key = try connection.key(object.path)
    let request = connection.requests.put(key, object.bytes, writer: connection.makeWriter(), ifAbsent: false)
    _ = try await connection.send("replace", key, request, expecting: [200])
  }

  /// Nothing is to be done: S3 answers a write when the object is on several disks, and no reader sees it before.
  package func sync(_ path: String) async throws {}

  package func delete(_ path: String) async throws {
    let key = try connection.key(path)
    _ = try await connection.send("delete", key, connection.requests.delete(key), expecting: [200, 204, 404])
  }
}
