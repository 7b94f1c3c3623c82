import WeirCore
import WeirLocal
import WeirS3
import WeirS3Settings

/// The objects below `s3://bucket/prefix` as the files of a plain capture, in the order of their keys.
///
/// The engine's reader blocks its own thread; requests run as tasks, which wait for no thread.
struct S3CaptureStore: CaptureStore, CaptureAhead.Fetching {
  /// By bucket and prefix, as the arguments name them.
  private let places: [String: S3CaptureObjects]
  /// The arguments, in their order.
  private let names: [String]

  /// - Parameters:
  ///   - names: arguments of `--capture`.
  ///   - settings: of the lake, if it is in S3 too: region, endpoint, style.
  static func open(_ names: [String], settings options: [String: String], _ effects: LakeEffects) async throws(WeirError) -> S3CaptureStore
  {
    var places: [String: S3CaptureObjects] = [:]
    for name in names {
      let settings = try S3Settings(try S3Location(objects: name), options: options)
      let sender = try await S3Adapter.sender(settings)
      places[name] = S3CaptureObjects(
        settings, isFolder: name.hasSuffix("/"), sender: sender, clock: effects.clock, random: effects.random)
    }
    return S3CaptureStore(places: places, names: names)
  }

  func files(of name: String) throws(WeirError) -> [CaptureItem] {
    guard let objects = places[name] else { throw WeirError(.internal, "\(name) was not opened") }
    let found = try Waiting.wait { () async throws(WeirError) in try await objects.list() }
    let location = try S3Location(objects: name)
    if let problem = S3CaptureStore.refused(location, found.map(\.key)) { throw problem }
    return found.map { CaptureItem(name: objects.address(of: $0.key), bytes: $0.bytes, version: $0.etag) }
  }

  /// What is there instead of a plain capture; nil: nothing.
  static func refused(_ location: S3Location, _ keys: [String]) -> WeirError? {
    guard !keys.isEmpty else {
      return WeirError(
        .config, "the capture \(location) has no objects",
        advice: "Check the prefix: names between slashes are compared as a whole, so logs/2026 does not include logs/2026-01.")
    }
    let paths = keys.compactMap { location.path(ofKey: $0) }
    if paths.contains(where: LiveCapture.isSegment) {
      return WeirError(
        .captureFormat, "the capture \(location) is what `weir capture` wrote, which cannot be read from S3 yet",
        advice: "Copy it to a directory (`aws s3 sync \(location) DIRECTORY`), and replay that.")
    }
    func holds(_ name: String) -> Bool { paths.contains { $0 == name || $0.utf8.starts(with: (name + "/").utf8) } }
    let parts = location.prefix.split(separator: "/").map { String($0) }
    let logs = paths.filter { $0.contains("/_delta_log/") }
    let inside = Set(logs.compactMap { path in path.split(separator: "/").first.map { String($0) } })
    return CaptureDirectory.tables("\(location)", parts: parts, inside: inside.sorted(), holds: holds)
  }

  func reading(_ files: [CaptureItem], isPeek: Bool) -> any CaptureReading {
    CaptureAhead(files, bounds: isPeek ? .peek : CaptureAhead.Bounds(), from: self)
  }

  // MARK: Fetching

  func fetch(_ file: CaptureItem, _ range: Range<Int64>, _ done: @escaping @Sendable (Result<[UInt8], WeirError>) -> Void) {
    Task { done(await bytes(file, range)) }
  }

  private func bytes(_ file: CaptureItem, _ range: Range<Int64>) async -> Result<[UInt8], WeirError> {
    do throws(WeirError) {
      let (objects, key) = try place(of: file)
      switch try await objects.read(.init(key: key, bytes: file.bytes ?? 0, etag: file.version), range) {
      case .bytes(let bytes): return .success(bytes)
      case .changed(let why): return .failure(.captureChanged(file.name, why))
      }
    } catch { return .failure(error) }
  }

  private func place(of file: CaptureItem) throws(WeirError) -> (S3CaptureObjects, key: String) {
    let rest = file.name.utf8.dropFirst(S3Location.scheme.utf8.count)
    let bucket = String(decoding: rest.prefix { $0 != UInt8(ascii: "/") }, as: UTF8.self)
    for name in names {
      guard let objects = places[name], try S3Location(objects: name).bucket == bucket else { continue }
      return (objects, String(decoding: rest.dropFirst(bucket.utf8.count + 1), as: UTF8.self))
    }
    throw WeirError(.internal, "\(file.name) is in no bucket that was opened")
  }

  /// One listing of each prefix, so that a capture of many objects costs few requests.
  func recheck(_ files: [CaptureItem]) throws(WeirError) -> [String] {
    var now: [String: CaptureItem] = [:]
    var count = 0
    for name in names {
      guard let objects = places[name] else { continue }
      let found = try Waiting.wait { () async throws(WeirError) in try await objects.list() }
      count += found.count
      for object in found {
        let address = objects.address(of: object.key)
        now[address] = CaptureItem(name: address, bytes: object.bytes, version: object.etag)
      }
    }
    return S3CaptureStore.differences(files, now, count: count)
  }

  /// - Parameters:
  ///   - files: as they were read.
  ///   - now: by address.
  ///   - count: of what is there now.
  static func differences(_ files: [CaptureItem], _ now: [String: CaptureItem], count: Int) -> [String] {
    var words: [String] = []
    var gone = 0
    for file in files {
      guard let found = now[file.name] else {
        gone += 1
        words.append("the capture \(file.name) was removed while it was read; its content was consumed, and a resume needs it")
        continue
      }
      if found.bytes != file.bytes || found.version != file.version {
        words.append(
          "the capture \(file.name) was replaced while it was read: the content that it had before was consumed, and the next run compares it with the new one"
        )
      }
    }
    if count > files.count - gone { words.append("\(count - files.count + gone) objects were added below the prefix while it was read") }
    let most = 20
    return words.count <= most ? words : words.prefix(most) + ["\(words.count - most) more objects changed, or were removed, meanwhile"]
  }
}
