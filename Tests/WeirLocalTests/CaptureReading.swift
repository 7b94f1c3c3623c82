import Foundation
import Testing
import WeirCore
import WeirLocal

/// A record as the reader hands it out: a line of a block, and where it begins.
struct ReadRecord: Equatable {
  var position: Int64
  var bytes: [UInt8]
}

/// What was read of a capture.
struct ReadCapture {
  var records: [ReadRecord] = []
  var cuts: [Int64: Hash128] = [:]

  var texts: [String] { records.map { String(decoding: $0.bytes, as: UTF8.self) } }
}

/// Files of a capture in a directory that is removed at the end.
final class CaptureFiles {
  let directory: String

  init() throws {
    directory = NSTemporaryDirectory() + "weir-capture-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  @discardableResult
  func make(_ name: String, _ bytes: [UInt8]) throws -> String {
    let path = directory + "/" + name
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  /// `bytes` as one gzip member.
  func gzip(_ bytes: [UInt8]) throws -> [UInt8] {
    let plain = try make("to-compress", bytes)
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/sh")
    shell.arguments = ["-c", "gzip -c \(plain) > \(plain).gz"]
    try shell.run()
    shell.waitUntilExit()
    return FileManager.default.contents(atPath: plain + ".gz").map(Array.init) ?? []
  }
}

/// Takes the events of a source one by one.
struct CaptureProbe {
  let source: CaptureSource
  var read = ReadCapture()

  init(
    _ files: [String], start: Int64 = 0, prefix: Hash128? = nil, cut: Int64 = 1 << 20, block: Int = 1000, keepOpen: Bool = false,
    fileEnds: FileEnds = .record, tell: @escaping @Sendable (Wording) -> Void = { _ in }
  ) throws {
    source = try CaptureSource(
      files: files, startAt: start, expectedPrefix: prefix, cutBytes: cut, blockBytes: block, keepOpen: keepOpen, fileEnds: fileEnds,
      tell: tell)
  }

  /// - Returns: false at the end.
  mutating func next() async throws -> Bool {
    switch try await source.next() {
    case .block(let raw, _):
      let bytes = withExtendedLifetime(raw) { Array(UnsafeBufferPointer(start: raw.text.base, count: raw.count)) }
      var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
      if bytes.last == 0x0A { lines.removeLast() }
      var position = raw.position
      for line in lines {
        read.records.append(ReadRecord(position: position, bytes: line))
        position += Int64(line.count) + 1
      }
    case .cut(let position, let hash): read.cuts[position] = hash
    case .caughtUp, .outOfRange, .closed: Issue.record("a capture says nothing of a live shard")
    case .end: return false
    }
    return true
  }

  mutating func all() async throws -> ReadCapture {
    while try await next() {}
    await source.close()
    return read
  }
}
