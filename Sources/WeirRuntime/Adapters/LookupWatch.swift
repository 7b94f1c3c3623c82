import Foundation
import Synchronization
import WeirAWS
import WeirCore
import WeirEngine
import WeirOperators
import WeirPlan
import WeirS3
import WeirS3Settings

/// Looks at files of lookups, on this machine and in S3, while a worker runs.
///
/// A file is recognised by its times, size and number, an object by its ETag: what has not changed is not read again.
final class LookupWatch: LookupPlaces {
  /// The clock of a file system may be this coarse: a file that changed so shortly ago may change again without another time.
  private static let settledMicroseconds: Int64 = 2_000_000

  /// Paths are relative to this.
  private let directory: String
  private let effects: LakeEffects
  /// One client for all objects, made for the first.
  private let client = Mutex<(any AWSSender)?>(nil)

  init(directory: String, _ effects: LakeEffects) { (self.directory, self.effects) = (directory, effects) }

  func look(at lookup: LookupSpec, unless known: String?, bytesMax: Int) async throws(WeirError) -> LookupLook? {
    guard S3Location.accepts(lookup.file) else { return try await file(lookup, unless: known, bytesMax) }
    let settings = S3Settings(try S3Location(lookup.file))
    let objects = S3CaptureObjects(settings, isFolder: false, sender: try await sender(), clock: effects.clock, random: effects.random)
    do throws(WeirError) {
      switch try await LookupReading.look(objects, unless: known, bytesMax) {
      case .same: return nil
      case .tooLarge: throw LookupWatch.tooLarge(lookup.file)
      case .bytes(let bytes, let etag): return LookupLook(bytes: bytes, sight: etag)
      }
    } catch {
      var error = error
      if !error.message.contains(lookup.file) { error.message = "\(lookup.file): \(error.message)" }
      throw error
    }
  }

  private func sender() async throws(WeirError) -> any AWSSender {
    if let known = client.withLock({ $0 }) { return known }
    let made = try await AWSWiring.client(of: .s3, endpoint: nil, region: nil)
    client.withLock { $0 = made }
    return made
  }

  // MARK: Files

  private func file(_ lookup: LookupSpec, unless known: String?, _ bytesMax: Int) async throws(WeirError) -> LookupLook? {
    let path = Paths.resolve(lookup.file, in: directory)
    let now = effects.clock.wallMicroseconds
    let look: Result<LookupLook?, WeirError>
    do {
      look = try await effects.threads.run {
        do throws(WeirError) { return .success(try LookupWatch.file(path, unless: known, bytesMax, now: now)) } catch {
          return .failure(error)
        }
      }
    } catch { throw WeirError(.internal, "\(error)") }
    return try look.get()
  }

  /// Blocks.
  private static func file(_ path: String, unless known: String?, _ bytesMax: Int, now: Int64) throws(WeirError) -> LookupLook? {
    let before = status(path)
    if let known, before?.text == known { return nil }
    let bytes: [UInt8]
    do { bytes = try InputFile.bytes(of: path, bytesMax: bytesMax) } catch {
      switch error {
      case .tooLarge: throw tooLarge(path)
      case .unreadable(let why), .unavailable(let why): throw WeirError(.config, "the file \(path) cannot be read: \(why)")
      case .notAsked: throw WeirError(.internal, "the file \(path) was not read")
      }
    }
    guard let before, status(path)?.text == before.text else {
      throw WeirError(
        .config, "the file \(path) changed while it was read", advice: "Write another file and rename it: the worker looks again.")
    }
    return LookupLook(bytes: bytes, sight: now - before.changed < settledMicroseconds ? nil : before.text)
  }

  /// Times, size and number of a file, and when it changed last, UTC microseconds.
  private static func status(_ path: String) -> (text: String, changed: Int64)? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    let changed = max(status.st_mtim.tv_sec, status.st_ctim.tv_sec)
    return (
      "\(status.st_dev)/\(status.st_ino)/\(status.st_size)/\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)/\(status.st_ctim.tv_sec).\(status.st_ctim.tv_nsec)",
      Int64(changed) * 1_000_000
    )
  }

  private static func tooLarge(_ place: String) -> WeirError {
    WeirError(
      .config, "with \(place) the lookups have more than \(LookupTable.bytesMax) bytes (lookup_bytes)",
      advice: "Leave out rows or columns that the pipeline does not use.")
  }
}
