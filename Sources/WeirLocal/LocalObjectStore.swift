import Glibc
import Synchronization
import WeirCore

/// A directory as an object store. Put-if-absent is a temporary file, fsync, `link(2)` and fsync of the directory: `rename`
/// would overwrite, and `O_EXCL` alone would show a half-written file.
package final class LocalObjectStore: ObjectStore {
  private let root: String
  private let threads: any BlockingRunner
  private let random: any RandomSource

  /// Files that are open at once while they are written.
  private static let openMax = 64

  /// Names of temporary files begin with this; they are no objects.
  private static let temporaryPrefix = ".tmp-"

  /// - Parameter root: made when something is first written.
  package init(root: String, threads: any BlockingRunner, random: any RandomSource) {
    self.root = root.hasSuffix("/") && root.count > 1 ? String(root.dropLast()) : root
    self.threads = threads
    self.random = random
  }

  package var place: String { FileSystem.absolute(root) }
  /// As the kernel takes them, with the zero byte at the end.
  package var pathBytesMax: Int { Int(PATH_MAX) - 1 - max(place.utf8.count, root.utf8.count) - 1 }

  private func full(_ path: String) throws(WeirError) -> String {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard !path.isEmpty, !path.contains("\0"), !parts.contains(where: { $0 == ".." || $0 == "." || $0.isEmpty }) else {
      throw WeirError(
        .storageRefused, "\"\(path)\" is not a path inside the lake",
        advice: "If a file of the ledger or of a Delta log names it, that file was changed: restore it from a copy.")
    }
    return root + "/" + path
  }

  // MARK: Write

  package func write(_ objects: [NewObject]) async throws {
    let targets = try objects.map { (try full($0.path), $0.pieces) }
    try await threads.run { [threads] in
      // By their bytes: Strings that are canonically equivalent are equal, and yet two directories.
      var directories: [[UInt8]: String] = [:]
      // Written first and then synced side by side: a journal's commit serves all files that wait for it.
      var open: [(descriptor: Int32, path: String)] = []
      func sync() {
        let all = open
        open = []
        threads.forEach(all.count) { FileSystem.sync(all[$0].descriptor, all[$0].path) }
        for file in all { close(file.descriptor) }
      }
      defer { for file in open { close(file.descriptor) } }
      for (path, pieces) in targets {
        let directory = FileSystem.parent(path)
        if directories.updateValue(directory, forKey: Array(directory.utf8)) == nil {
          for parent in try FileSystem.makeDirectory(directory) { directories[Array(parent.utf8)] = parent }
        }
        open.append((try FileSystem.written(path, pieces), path))
        if open.count == LocalObjectStore.openMax { sync() }
      }
      sync()
      let all = directories.values.sorted()
      let failure = Mutex<WeirError?>(nil)
      threads.forEach(all.count) { number in
        do throws(WeirError) { try FileSystem.syncDirectory(all[number]) } catch { failure.withLock { $0 = error } }
      }
      if let failure = failure.withLock({ $0 }) { throw failure }
    }
  }

  private func temporary(beside path: String) -> String {
    FileSystem.parent(path) + "/" + LocalObjectStore.temporaryPrefix + String(random.next(), radix: 16)
  }

  /// A failure before `link` made nothing; it is reported as unknown all the same, because the caller's way on is the same
  /// (read back, then the same bytes again), and the text says what was wrong.
  package func putIfAbsent(_ object: NewObject) async -> PutOutcome {
    do {
      let path = try full(object.path)
      let temporary = temporary(beside: path)
      return try await threads.run {
        let directory = FileSystem.parent(path)
        let above = try FileSystem.makeDirectory(directory)
        for parent in above { try FileSystem.syncDirectory(parent) }
        try FileSystem.create(temporary, object.pieces)
        defer { unlink(temporary) }
        return try FileSystem.linkIfAbsent(temporary, path)
      }
    } catch {
      return .unknown("\(error)")
    }
  }

  package func upload(_ path: String) async throws -> any ObjectUpload {
    let path = try full(path)
    let temporary = temporary(beside: path)
    let descriptor = try await threads.run {
      for parent in try FileSystem.makeDirectory(FileSystem.parent(path)) { try FileSystem.syncDirectory(parent) }
      return try FileSystem.createEmpty(temporary)
    }
    return LocalUpload(descriptor, temporary, path, threads)
  }

  package func replace(_ object: NewObject) async throws {
    let path = try full(object.path)
    let temporary = temporary(beside: path)
    try await threads.run {
      let directory = FileSystem.parent(path)
      for parent in try FileSystem.makeDirectory(directory) { try FileSystem.syncDirectory(parent) }
      try FileSystem.create(temporary, object.pieces)
      guard rename(temporary, path) == 0 else {
        let number = errno
        unlink(temporary)
        throw FileSystem.error("replace", path, number)
      }
      try FileSystem.syncDirectory(directory)
    }
  }

  // MARK: Read

  package func get(_ path: String) async throws -> [UInt8]? {
    let path = try full(path)
    return try await threads.run { try FileSystem.read(path) }
  }

  package func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    let path = try full(path)
    return try await threads.run { try FileSystem.read(path, offset: offset, count: count) }
  }

  package func list(_ prefix: String) async throws -> [ObjectInfo] { try await list(prefix, from: "") }

  package func list(_ prefix: String, from first: String) async throws -> [ObjectInfo] {
    let root = self.root
    let found: [ObjectInfo] = try await threads.run {
      var found: [ObjectInfo] = []
      // Only the directory that the prefix names in full is walked.
      let start = prefix.lastIndex(of: "/").map { String(prefix[..<$0]) } ?? ""
      try LocalObjectStore.walk(root, start, (prefix, first), into: &found)
      return found
    }
    return found.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }

  /// - Parameter asked: the prefix, and the first path.
  private static func walk(
    _ root: String, _ relative: String, _ asked: (prefix: String, first: String), into found: inout [ObjectInfo]
  ) throws(WeirError) {
    let (prefix, first) = asked
    let directory = relative.isEmpty ? root : root + "/" + relative
    guard let handle = opendir(directory) else {
      if errno == ENOENT || errno == ENOTDIR { return }
      throw FileSystem.error("list", directory)
    }
    defer { closedir(handle) }
    while let item = readdir(handle) {
      let name = withUnsafePointer(to: &item.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name == "." || name == ".." || name.hasPrefix(temporaryPrefix) { continue }
      let path = relative.isEmpty ? name : relative + "/" + name
      // Nor is anything in it, if it is a directory.
      if path.utf8.lexicographicallyPrecedes(first.utf8), !first.hasPrefix(path) { continue }
      var info = stat()
      guard lstat(root + "/" + path, &info) == 0 else { continue }
      if info.st_mode & S_IFMT == S_IFDIR {
        if prefix.hasPrefix(path) || path.hasPrefix(prefix) { try walk(root, path, asked, into: &found) }
      } else if path.hasPrefix(prefix), !path.utf8.lexicographicallyPrecedes(first.utf8) {
        let modified = SystemClock.microseconds(info.st_mtim)
        found.append(ObjectInfo(path: path, bytes: Int64(info.st_size), modifiedMicroseconds: modified))
      }
    }
  }

  package func sync(_ path: String) async throws {
    let path = try full(path)
    try await threads.run {
      let descriptor = try FileSystem.openFile(path)
      FileSystem.sync(descriptor, path)
      close(descriptor)
      try FileSystem.syncDirectory(FileSystem.parent(path))
    }
  }

  package func delete(_ path: String) async throws {
    let path = try full(path)
    try await threads.run {
      guard unlink(path) == 0 || errno == ENOENT else { throw FileSystem.error("delete", path) }
    }
  }
}
