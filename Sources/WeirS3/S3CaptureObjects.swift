import WeirAWS
import WeirCore
import WeirS3Settings

/// The objects below a prefix, to be read in the order of their keys as a capture.
package struct S3CaptureObjects: Sendable {
  package struct Object: Sendable, Hashable {
    package var key: String
    package var bytes: Int64
    /// Of its content; nil: the store lists none.
    package var etag: String?

    package init(key: String, bytes: Int64, etag: String?) { (self.key, self.bytes, self.etag) = (key, bytes, etag) }
  }

  /// What a read found.
  package enum Found: Sendable, Hashable {
    case bytes([UInt8])
    /// It is not the object that was listed: why.
    case changed(String)
  }

  /// `capture_objects`: below one prefix. An object takes as much memory as its key, and about 100 bytes.
  package static let objectsMax = 1_000_000
  /// Reads of one range, each with the retries of the client.
  private static let readsMax = 4

  private let connection: S3Connection
  /// The address ends with a slash: it names no object.
  private let isFolder: Bool

  package init(_ settings: S3Settings, isFolder: Bool, sender: any AWSSender, clock: any Clock, random: any RandomSource) {
    connection = S3Connection(settings, sender, clock, random)
    self.isFolder = isFolder
  }

  package func address(of key: String) -> String { S3Location.scheme + connection.location.bucket + "/" + key }

  // MARK: List

  /// In the order of the keys' bytes: the object of that key, and all below `prefix/`. Empty objects whose keys end with a slash, which
  /// tools make for folders, are left out.
  /// - Throws: `config` beyond ``objectsMax``, and what the store answers.
  package func list() async throws(WeirError) -> [Object] {
    let prefix = connection.location.prefix
    var found: [Object] = []
    if !prefix.isEmpty, !isFolder {
      // It is the first of all keys that begin with it.
      if let object = try await find() { found.append(object) }
    }
    var isTooLong = false
    try await connection.eachPage(prefix.isEmpty ? "" : prefix + "/", after: nil) { page in
      found += page.objects.map(S3CaptureObjects.object).filter { !($0.bytes == 0 && $0.key.utf8.last == UInt8(ascii: "/")) }
      isTooLong = found.count > S3CaptureObjects.objectsMax
      return !isTooLong
    }
    guard !isTooLong else {
      throw WeirError(
        .config, "there are more than \(S3CaptureObjects.objectsMax) objects below \(connection.location) (capture_objects)",
        advice: "Read longer prefixes, one after the other or into several lakes.")
    }
    return S3CaptureObjects.ordered(found)
  }

  /// The object whose key the address is; nil: there is none.
  package func find() async throws(WeirError) -> Object? {
    let key = connection.location.prefix
    let page = try await connection.page(key, after: nil, token: nil, keysMax: 1)
    return page.objects.first { $0.key.utf8.elementsEqual(key.utf8) }.map(S3CaptureObjects.object)
  }

  private static func object(_ listed: S3ListPage.Object) -> Object { Object(key: listed.key, bytes: listed.bytes, etag: listed.etag) }

  /// S3 lists in this order; some stores do not.
  private static func ordered(_ found: [Object]) -> [Object] {
    func precedes(_ a: Object, _ b: Object) -> Bool { a.key.utf8.lexicographicallyPrecedes(b.key.utf8) }
    return zip(found, found.dropFirst()).allSatisfy(precedes) ? found : found.sorted(by: precedes)
  }

  // MARK: Read

  /// A part of an object, if that is still what was listed. Repeated when the answer is cut short or the service cannot answer now.
  /// - Parameter range: not empty, within the object.
  package func read(_ object: Object, _ range: Range<Int64>) async throws(WeirError) -> Found {
    guard !object.key.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
      throw WeirError(
        .storageRefused, "the key \(Printable.text(address(of: object.key), bytesMax: 600)) has control characters, and cannot be read",
        advice: "Copy the object to another key.")
    }
    let isWhole = range.lowerBound == 0 && range.upperBound == object.bytes
    let asked = isWhole ? nil : range.lowerBound...(range.upperBound - 1)
    let request = connection.requests.get(object.key, range: asked, ifMatch: object.etag)
    var tries = 0
    while true {
      tries += 1
      let failure: AWSFailure
      do throws(AWSFailure) {
        let response = try await connection.send(request, expecting: [200, 206, 404, 412])
        if let found = found(response, object, range) { return found }
        failure = connection.errors.unreadable(request)
      } catch {
        // The object is shorter.
        if error.status == 416 { return .changed("it is shorter than the \(object.bytes) bytes that were listed") }
        if error.status == 412 { return .changed(S3CaptureObjects.overwritten) }
        failure = error
      }
      guard failure.kind == .retriable || failure.kind == .unknown, tries < S3CaptureObjects.readsMax, !AWSPatience.isLooking else {
        throw connection.errors.error("read", object.key, failure)
      }
      await connection.rest(tries: tries)
    }
  }

  private static let overwritten = "it was overwritten since it was listed"

  /// nil: the answer was cut short.
  private func found(_ response: AWSResponse, _ object: Object, _ range: Range<Int64>) -> Found? {
    if response.status == 404 { return .changed("it was removed since it was listed") }
    if response.status == 412 { return .changed(S3CaptureObjects.overwritten) }
    // A store that does not know the condition.
    if let etag = object.etag, let now = response.header("ETag"), now != etag { return .changed(S3CaptureObjects.overwritten) }
    var bytes = response.body
    if let length = response.header("Content-Length").flatMap({ Int64($0) }), length != bytes.count { return nil }
    // A store that does not know ranges sends everything.
    if response.status == 200 {
      guard Int64(bytes.count) == object.bytes else {
        return response.header("Content-Length") == nil
          ? nil : .changed("it had \(object.bytes) bytes when it was listed, and has \(bytes.count) now")
      }
      if range.upperBound - range.lowerBound != object.bytes { bytes = Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)]) }
    }
    return Int64(bytes.count) == range.upperBound - range.lowerBound ? .bytes(bytes) : nil
  }
}
