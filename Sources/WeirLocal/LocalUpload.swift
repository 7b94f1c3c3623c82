import Glibc
import WeirCore

/// A temporary file that gets its name at the end.
actor LocalUpload: ObjectUpload {
  private var descriptor: Int32?
  private let temporary: String
  private let path: String
  private let threads: any BlockingRunner

  init(_ descriptor: Int32, _ temporary: String, _ path: String, _ threads: any BlockingRunner) {
    (self.descriptor, self.temporary, self.path, self.threads) = (descriptor, temporary, path, threads)
  }

  deinit {
    guard let descriptor else { return }
    close(descriptor)
    unlink(temporary)
  }

  func append(_ bytes: [UInt8]) async throws {
    guard let descriptor else { throw WeirError(.internal, "\(path) was already completed or cancelled") }
    try await threads.run { [temporary] in try FileSystem.append(descriptor, bytes, temporary) }
  }

  func finish() async -> PutOutcome {
    guard let descriptor else { return .unknown("\(path) was already completed or cancelled") }
    self.descriptor = nil
    do {
      return try await threads.run { [temporary, path] in
        defer { unlink(temporary) }
        FileSystem.sync(descriptor, temporary)
        close(descriptor)
        return try FileSystem.linkIfAbsent(temporary, path)
      }
    } catch {
      return .unknown("\(error)")
    }
  }

  func abandon() async {
    guard let descriptor else { return }
    self.descriptor = nil
    _ = try? await threads.run { [temporary] in
      close(descriptor)
      unlink(temporary)
    }
  }
}
