import WeirAWS
import WeirCore
import WeirS3Settings

/// An object that is sent in parts, several at once. One that fits into a part is sent as a whole.
///
/// In memory are at most ``partsAtOnce`` parts that are sent and one that is filled: their buffers are used again, because blocks of this size
/// that are allocated and freed by turns leave holes between them, as large as the blocks. Parts are numbered as they are cut, so they arrive
/// in any order.
actor S3Upload: ObjectUpload {
  static let partsAtOnce = 3

  private let connection: S3Connection
  private let key: String
  private let ifAbsent: Bool
  private let writer: String
  private let plan: PartPlan
  private var filled: [UInt8] = []
  private var upload: String?
  private var number = 0
  private var sent: [Task<Sent, any Error>] = []
  /// Of parts that were sent.
  private var spare: [[UInt8]] = []
  private var parts: [S3Requests.Part] = []
  private var isOver = false

  private struct Sent {
    let part: S3Requests.Part
    let body: [UInt8]
  }

  /// - Parameter ifAbsent: the object is made only if there is none.
  init(_ connection: S3Connection, _ key: String, ifAbsent: Bool) {
    (self.connection, self.key, self.ifAbsent) = (connection, key, ifAbsent)
    writer = connection.makeWriter()
    plan = PartPlan(bytes: connection.settings.partBytes)
  }

  deinit { for part in sent { part.cancel() } }

  private var closed: WeirError { WeirError(.internal, "\(key) was already completed or cancelled") }

  func append(_ bytes: [UInt8]) async throws {
    guard !isOver else { throw closed }
    var rest = bytes[...]
    while !rest.isEmpty {
      let size = plan.bytes(of: number + 1)
      // Not before more comes: the last part is sent at the end, and alone it is no part.
      if filled.count == size { try await cut() }
      if filled.isEmpty, let buffer = spare.popLast() {
        filled = buffer
        filled.removeAll(keepingCapacity: true)
      }
      if filled.isEmpty { filled.reserveCapacity(min(size, max(rest.count, connection.settings.partBytes))) }
      let taken = rest.prefix(plan.bytes(of: number + 1) - filled.count)
      filled += taken
      rest = rest.dropFirst(taken.count)
    }
  }

  /// Sends what was filled, when there is room.
  private func cut() async throws {
    guard number < PartPlan.partsMax else {
      throw WeirError(
        .storageRefused, "\(connection.location)/\(key) would have more than \(plan.objectBytesMax >> 30) GiB, more than parts can hold")
    }
    let upload = try await begun()
    while sent.count >= S3Upload.partsAtOnce { try await takeFirst() }
    number += 1
    let body = filled
    filled = []
    sent.append(
      Task { [connection, key, number] in
        Sent(part: try await S3Upload.send(body, number, key, upload, connection), body: body)
      })
  }

  private func takeFirst() async throws {
    let first = sent.removeFirst()
    let done = try await first.value
    parts.append(done.part)
    spare.append(done.body)
  }

  private static func send(
    _ body: [UInt8], _ number: Int, _ key: String, _ upload: String, _ connection: S3Connection
  ) async throws -> S3Requests.Part {
    let request = connection.requests.part(key, of: upload, number: number, body)
    let response = try await connection.send("create", key, request, expecting: [200])
    guard let etag = response.header("ETag") else {
      throw connection.errors.error("create", key, connection.errors.unreadable(request))
    }
    let checksum = request.headers.first { $0.name == "x-amz-checksum-sha256" }?.value
    return S3Requests.Part(number: number, etag: etag, checksum: checksum)
  }

  private func begun() async throws -> String {
    if let upload { return upload }
    let request = connection.requests.createUpload(key, writer: writer)
    let response = try await connection.send("create", key, request, expecting: [200])
    guard let id = XMLElement(parsing: response.body)?["UploadId"], !id.isEmpty else {
      throw connection.errors.error("create", key, connection.errors.unreadable(request))
    }
    upload = id
    return id
  }

  func finish() async -> PutOutcome {
    guard !isOver else { return .unknown("\(closed)") }
    isOver = true
    guard upload != nil else {
      let body = filled
      filled = []
      return await connection.make(key, writer: writer, connection.requests.put(key, body, writer: writer, ifAbsent: ifAbsent))
    }
    do {
      try await cut()
      while !sent.isEmpty { try await takeFirst() }
    } catch {
      await abort()
      return .unknown("\(error)")
    }
    return await complete()
  }

  private func complete() async -> PutOutcome {
    guard let upload else { return .unknown("\(closed)") }
    let request = connection.requests.complete(key, of: upload, parts.sorted { $0.number < $1.number }, ifAbsent: ifAbsent)
    let outcome = await connection.make(key, writer: writer, request)
    switch outcome {
    case .created: break
    case .exists: await abort()
    // A request that is still under way may complete it: the parts stay until they are collected.
    case .unknown: break
    }
    return outcome
  }

  func abandon() async {
    guard !isOver else { return }
    isOver = true
    filled = []
    await abort()
  }

  /// Ends the requests that are under way, and removes the parts. What this misses is collected later.
  private func abort() async {
    for part in sent { part.cancel() }
    for part in sent { _ = try? await part.value }
    sent = []
    guard let upload else { return }
    _ = try? await connection.send(connection.requests.abort(key, of: upload), expecting: [200, 204, 404])
  }
}

/// The sizes of an upload's parts. S3 takes 10,000: each thousand has parts that are one size larger.
struct PartPlan: Sendable, Hashable {
  static let partsMax = 10_000
  let bytes: Int

  /// - Parameter number: of the part, from 1.
  func bytes(of number: Int) -> Int { bytes * ((number - 1) / 1000 + 1) }

  /// Bytes of the largest object: 430 GiB with parts of 8 MiB.
  var objectBytesMax: Int64 { Int64(bytes) * 1000 * 55 }
}
