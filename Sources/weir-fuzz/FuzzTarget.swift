import Foundation

/// A parser of outside bytes, as a function that must return: no trap, no hang, bounded memory. Errors that it throws are answers.
struct FuzzTarget: Sendable {
  let name: String
  /// Valid inputs, made by the writers of this program.
  let seeds: @Sendable () throws -> [[UInt8]]
  /// Texts that a mutation may insert.
  let words: [String]
  let body: @Sendable ([UInt8]) throws -> Void

  init(
    _ name: String, words: [String] = [], seeds: @escaping @Sendable () throws -> [[UInt8]],
    _ body: @escaping @Sendable ([UInt8]) throws -> Void
  ) {
    self.name = name
    self.words = words
    self.seeds = seeds
    self.body = body
  }

  func run(_ input: [UInt8]) { do { try body(input) } catch { return } }

  static let all: [FuzzTarget] = [
    json, records, elements, csvRows, linePattern, logfmt, coercions, zoneFile, recordHeaders, texts, avro, protobuf, jsonSchema, framing,
    schemaPin,
    registryAnswer, parquet, parquetFooter, deltaCommit,
    deltaTable,
    ledgerEntry, ledgerSnapshot, laneState, mergedState, expressions, lookup, pipeline, captureFrame, captureSegment, captureFile, stateKey,
    stateRow, stateFile, adminRequest,
  ]

  static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// Ends the process if a target's oracle disagrees: both drivers take that for a crash of this input.
func expect(_ holds: Bool, _ what: @autoclosure () -> String, line: UInt = #line, file: StaticString = #fileID) {
  if !holds { fail(what(), line: line, file: file) }
}

func fail(_ what: String, line: UInt = #line, file: StaticString = #fileID) -> Never {
  report("\(file):\(line): oracle: \(what)")
  abort()
}

/// Writes at once: a process that traps flushes nothing. (`stderr` itself is shared mutable state to Swift.)
func report(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

private final class ResultBox<T: Sendable>: @unchecked Sendable {
  // Unchecked: written before the semaphore is signalled, read after.
  var result: Result<T, any Error>?
}

/// Runs async work from a thread that is not of the pool.
func wait<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) throws -> T {
  let (box, done) = (ResultBox<T>(), DispatchSemaphore(value: 0))
  Task {
    do { box.result = .success(try await body()) } catch { box.result = .failure(error) }
    done.signal()
  }
  done.wait()
  return try box.result!.get()
}

/// Several parts in one input: each but the last follows its length, two bytes little-endian.
enum Parts {
  static func join(_ parts: [UInt8]...) -> [UInt8] {
    var out: [UInt8] = []
    for part in parts.dropLast() { out += [UInt8(part.count & 0xFF), UInt8(part.count >> 8)] + part }
    return out + parts.last!
  }

  /// Always `count` parts; the last ones may be empty.
  static func split(_ input: [UInt8], _ count: Int) -> [[UInt8]] {
    var (parts, rest): ([[UInt8]], ArraySlice<UInt8>) = ([], input[...])
    for _ in 1..<count {
      let length = rest.prefix(2).reversed().reduce(0) { $0 << 8 | Int($1) }
      rest = rest.dropFirst(2)
      parts.append(Array(rest.prefix(length)))
      rest = rest.dropFirst(length)
    }
    return parts + [Array(rest)]
  }
}

/// A directory in memory for targets that read files; removed when the process ends in order.
enum Workspace {
  static let path: String = {
    let path = "/dev/shm/weir-fuzz-\(getpid())"
    mkdir(path, 0o700)
    return path
  }()

  static func file(_ name: String, _ bytes: [UInt8]) -> String {
    let path = path + "/" + name
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    precondition(descriptor >= 0, "\(path) cannot be written")
    var done = 0
    while done < bytes.count {
      let n = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + done, bytes.count - done) }
      precondition(n > 0, "\(path) cannot be written")
      done += n
    }
    close(descriptor)
    return path
  }

  static func directory(_ name: String) -> String {
    let path = path + "/" + name
    mkdir(path, 0o700)
    return path
  }

  static func bytes(_ path: String) -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    let size = lseek(descriptor, 0, SEEK_END)
    return [UInt8](unsafeUninitializedCapacity: max(0, size)) { buffer, count in
      count = max(0, pread(descriptor, buffer.baseAddress, size, 0))
    }
  }

  /// Of a file whose size is not known before, such as the kernel's.
  static func text(_ path: String) -> [UInt8] {
    Array((try? FileHandle(forReadingFrom: URL(filePath: path)).readToEnd()) ?? Data())
  }

  static func remove() { try? FileManager.default.removeItem(atPath: path) }
}
