import Foundation
import Synchronization
import Testing
import WeirCore
import WeirLocal

/// Files that change while they are read: what was read of them does not count as consumed.
struct CaptureChangeTests {
  /// Far more than the reader reads ahead.
  private static let lines = Array((0..<20_000).map { "{\"n\":\($0),\"pad\":\"abcdefghij\"}\n" }.joined().utf8)

  private final class Notices: Sendable {
    private let all = Mutex<[String]>([])
    func add(_ text: String) { all.withLock { $0.append(text) } }
    var texts: [String] { all.withLock { $0 } }
  }

  /// Reads until `position`, lets `change` happen, and reads to the end.
  private func read(
    _ files: [String], until position: Int64 = 1, keepOpen: Bool = false, _ notices: Notices = Notices(), change: () throws -> Void
  ) async throws -> ReadCapture {
    var probe = try CaptureProbe(files, keepOpen: keepOpen, tell: { notices.add($0.description) })
    while probe.source.progress.position < position { guard try await probe.next() else { break } }
    try change()
    return try await probe.all()
  }

  private func expectChanged(_ path: String, _ word: String, _ read: () async throws -> ReadCapture) async {
    let error = await #expect(throws: WeirError.self) { try await read() }
    #expect(error?.code == .captureChanged, "\(word): \(error.map { "\($0)" } ?? "")")
    #expect(error?.message.contains(path) == true && error?.message.contains(word) == true, "\(error?.message ?? "")")
  }

  @Test(arguments: ["/proc/self/environ", "/proc/meminfo", "/sys/kernel/mm/transparent_hugepage/enabled", "/dev/zero", "/dev/urandom"])
  func whatIsNoFileOfADiskIsRefusedByName(path: String) async throws {
    guard access(path, R_OK) == 0 else { return }
    let error = await #expect(throws: WeirError.self) { try await read([path]) {} }
    #expect(error?.code == .config, "\(error.map { "\($0)" } ?? "")")
    #expect(error?.message.contains("\(path) is a ") == true && error?.message.contains("truncated") == false, "\(error?.message ?? "")")
  }

  @Test func aSocketIsRefusedByName() async throws {
    let home = try CaptureFiles()
    let path = home.directory + "/socket"
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    try #require(bound == 0)
    let error = await #expect(throws: WeirError.self) { try await read([path]) {} }
    #expect(error?.code == .config && error?.message.contains("is a socket") == true, "\(error?.message ?? "")")
  }

  @Test(arguments: [0, 1, 300_000]) func aFileThatIsTruncatedWhileItIsReadIsAnError(bytes: Int) async throws {
    let home = try CaptureFiles()
    let path = try home.make("a", CaptureChangeTests.lines)
    await expectChanged(path, "truncated") { try await read([path]) { #expect(truncate(path, bytes) == 0) } }
  }

  /// Cut between two members, it would be a whole file to whoever looks at the bytes alone.
  @Test func aCompressedFileThatIsTruncatedBetweenMembersIsAnError() async throws {
    let home = try CaptureFiles()
    var random = SystemRandomNumberGenerator()
    let text = (0..<600).map { _ in "{\"r\":\"\(UInt64.random(in: .min ... .max, using: &random))\"}\n" }.joined()
    let member = try home.gzip(Array(text.utf8))
    let path = try home.make("z", (0..<150).flatMap { _ in member })
    await expectChanged(path, "truncated") { try await read([path]) { #expect(truncate(path, member.count * 120) == 0) } }
  }

  @Test func aFileThatIsOverwrittenWithAsManyBytesIsAnError() async throws {
    let home = try CaptureFiles()
    let path = try home.make("a", CaptureChangeTests.lines)
    await expectChanged(path, "written to") {
      try await read([path]) {
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.write(contentsOf: Data("{".utf8))
        try handle.close()
      }
    }
  }

  @Test func aFileThatIsTruncatedBeforeItsTurnIsAnError() async throws {
    let home = try CaptureFiles()
    let (first, second) = (try home.make("a", CaptureChangeTests.lines), try home.make("b", CaptureChangeTests.lines))
    await expectChanged(second, "when this run began") { try await read([first, second]) { #expect(truncate(second, 1000) == 0) } }
  }

  /// Between the first look at it, which tells its format, and the run that reads it.
  @Test(arguments: [0, 1000]) func aFileThatIsTruncatedBeforeItIsReadIsAnError(bytes: Int) async throws {
    let home = try CaptureFiles()
    let path = try home.make("a", CaptureChangeTests.lines)
    let files = try CaptureSource.check([path])
    #expect(files == [CaptureItem(name: path, bytes: Int64(CaptureChangeTests.lines.count))])
    #expect(truncate(path, bytes) == 0)
    let source = CaptureSource(files: files, in: LocalCaptureStore(), cutBytes: 1 << 20)
    let error = await #expect(throws: WeirError.self) { _ = try await source.next() }
    #expect(error?.code == .captureChanged && error?.message.contains("when this run began") == true, "\(error?.message ?? "")")
    await source.close()
  }

  @Test func aFileThatChangesAfterItsEndWasReadIsAnError() async throws {
    let home = try CaptureFiles()
    for (word, bytes) in [("truncated", 2), ("appended", 100)] {
      let (first, second) = (try home.make("a", Array("{\"n\":1}\n".utf8)), try home.make("b", CaptureChangeTests.lines))
      await expectChanged(first, word) { try await read([first, second], until: 5000) { #expect(truncate(first, bytes) == 0) } }
    }
  }

  @Test func whatIsAppendedBeforeTheEndIsReadAndSaid() async throws {
    let home = try CaptureFiles()
    for keepOpen in [false, true] {
      let path = try home.make("a", CaptureChangeTests.lines)
      let notices = Notices()
      let read = try await read([path], keepOpen: keepOpen, notices) {
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("{\"last\":1}\n".utf8))
        try handle.close()
      }
      #expect(read.texts.count == 20_001 && read.texts.last == "{\"last\":1}")
      #expect(notices.texts.count == 1 && notices.texts[0].contains("grew") && notices.texts[0].contains("capture_grew") == !keepOpen)
    }
  }

  /// The content that was opened is whole, and is what was consumed.
  @Test func aFileThatIsReplacedIsReadAsItWasAndThatIsSaid() async throws {
    let home = try CaptureFiles()
    let path = try home.make("a", CaptureChangeTests.lines)
    let notices = Notices()
    let read = try await read([path], notices) {
      let other = try home.make("other", Array("{\"n\":0}\n".utf8))
      #expect(rename(other, path) == 0)
    }
    #expect(read.texts.count == 20_000)
    #expect(notices.texts.count == 1 && notices.texts[0].contains("replaced"))
  }
}
