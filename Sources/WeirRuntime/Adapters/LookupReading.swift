import WeirAWS
import WeirConfiguration
import WeirCore
import WeirPlan
import WeirS3
import WeirS3Settings

/// Files of lookups, on this machine and in S3.
enum LookupReading {
  /// Blocks a thread that is none of the pool.
  static func bytes(_ path: String, _ bytesMax: Int) throws(InputFile.Refusal) -> [UInt8] {
    guard S3Location.accepts(path) else { return try InputFile.bytes(of: path, bytesMax: bytesMax) }
    let found: [UInt8]?
    do throws(WeirError) {
      found = try Waiting.wait { () async throws(WeirError) in try await object(path, bytesMax) }
    } catch {
      let words = error.advice.map { "\(error.message). \($0.words)" } ?? error.message
      throw error.code == .storage ? .unavailable(words) : .unreadable(words)
    }
    guard let found else { throw .tooLarge }
    return found
  }

  /// nil: it has more bytes.
  private static func object(_ path: String, _ bytesMax: Int) async throws(WeirError) -> [UInt8]? {
    let settings = S3Settings(try S3Location(objects: path))
    let effects = LakeEffects.own()
    defer { effects.threads.stop() }
    let sender = try await AWSWiring.client(of: .s3, endpoint: nil, region: nil)
    let objects = S3CaptureObjects(settings, isFolder: false, sender: sender, clock: effects.clock, random: effects.random)
    switch try await look(objects, unless: nil, bytesMax) {
    case .bytes(let bytes, _): return bytes
    case .same, .tooLarge: return nil
    }
  }

  enum Seen {
    case same, tooLarge
    case bytes([UInt8], etag: String?)
  }

  /// - Parameter known: the ETag of what is known.
  static func look(_ objects: S3CaptureObjects, unless known: String?, _ bytesMax: Int) async throws(WeirError) -> Seen {
    // It may be replaced between the look and the read.
    for _ in 0..<3 {
      guard let object = try await objects.find() else {
        throw WeirError(.config, "there is no such object", advice: "Check the bucket and the key.")
      }
      if let known, object.etag == known { return .same }
      if object.bytes > Int64(bytesMax) { return .tooLarge }
      if object.bytes == 0 { return .bytes([], etag: object.etag) }
      if case .bytes(let bytes) = try await objects.read(object, 0..<object.bytes) { return .bytes(bytes, etag: object.etag) }
    }
    throw WeirError(.storage, "it is replaced while it is read, again and again", advice: "Run again.")
  }
}

extension LoadedPipeline {
  /// Reads and checks a pipeline file with the clients of this program. On a thread of its own: a lookup may be in a store that answers late.
  package static func read(_ file: String) async throws(ConfigurationError) -> LoadedPipeline {
    try await read(file, sections: .withClients)
  }

  /// For commands that look at a ledger: lookups are those that it keeps. Their files may be missing, or newer.
  /// - Parameter lake: of the command line.
  package static func read(_ file: String, withLedgerIn lake: String?) async throws(ConfigurationError) -> LoadedPipeline {
    let kept = (try? await KeptLookups.of(file, lake: lake)) ?? [:]
    var sections = PlanSections.withClients
    let files = sections.lookupFiles
    sections.lookupFiles = { file throws(InputFile.Refusal) in
      guard let bytes = kept[file.name] else { return try files(file) }
      guard bytes.count <= file.bytesMax else { throw .tooLarge }
      return bytes
    }
    return try await read(file, sections: sections)
  }

  /// For commands that need no rows of lookups: nothing is asked of the files and objects, which may be missing, unless the pipeline has
  /// another problem.
  package static func readWithoutLookups(_ file: String) async throws(ConfigurationError) -> LoadedPipeline {
    guard let found = try LoadedPipeline.withoutLookups(file: file, sections: .withClients) else { return try await read(file) }
    // What is wrong may follow from a lookup that was not read: with its rows a valid pipeline has no problem.
    return found.problems.isEmpty ? found.pipeline : try await read(file)
  }

  private static func read(_ file: String, sections: PlanSections) async throws(ConfigurationError) -> LoadedPipeline {
    let thread = BlockingThreads(count: 1)
    defer { thread.stop() }
    let patience = AWSPatience.current
    let loaded: Result<LoadedPipeline, ConfigurationError>
    do {
      loaded = try await thread.run {
        // The thread belongs to no task.
        AWSPatience.$current.withValue(patience) { () -> Result<LoadedPipeline, ConfigurationError> in
          do throws(ConfigurationError) { return .success(try loadPipeline(file: file, sections: sections)) } catch {
            return .failure(error)
          }
        }
      }
    } catch {
      loaded = .failure(
        ConfigurationError(diagnostics: [
          Diagnostic(severity: .error, code: "no_file", message: "\(error)", suggestion: nil, file: file, line: 1, column: 1)
        ]))
    }
    return try loaded.get()
  }
}
