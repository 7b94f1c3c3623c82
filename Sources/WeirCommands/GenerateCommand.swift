import Foundation
import WeirCore
import WeirLoad
import WeirPlan
import WeirReport

/// `weir generate`: seeded streams as NDJSON.
package enum GenerateCommand {
  private static let chunkBytes = 1 << 20
  /// Beyond it event times would be before 1970, or none at all.
  private static let lateMillisecondsMax = 366 * 86_400_000

  /// - Parameters:
  ///   - out: a file to make; `-` is standard output.
  /// - Returns: the exit code.
  package static func run(_ settings: GeneratorSettings, count: Int, out: String, console: Console) throws -> Int32 {
    guard count >= 0 else { throw WeirError(.config, "--count must be a number of lines, not \(count)") }
    for (name, share) in [
      ("duplicates", settings.duplicates), ("disorder", settings.disorder), ("malformed", settings.malformed), ("skew", settings.skew),
    ] where !(0...1).contains(share) || (name == "malformed" && share == 1) {
      throw WeirError(.config, "--\(name) must be from 0 to \(name == "malformed" ? "less than 1" : "1"), not \(share)")
    }
    guard (0...lateMillisecondsMax).contains(settings.lateMilliseconds) else {
      throw WeirError(.config, "--late must be 0 to \(lateMillisecondsMax) milliseconds (a year), not \(settings.lateMilliseconds)")
    }
    guard settings.rate > 0, settings.rate <= 1_000_000_000 else {
      throw WeirError(.config, "--rate must be a number of events per second, not \(settings.rate)")
    }
    let descriptor = out == "-" ? nil : try open(PathText.checked(out, "--out"))
    defer { if let descriptor { close(descriptor) } }
    func write(_ bytes: [UInt8]) throws {
      guard let descriptor else {
        console.data(bytes)
        return try console.check()
      }
      let error = SystemWrite.all(bytes[...], to: descriptor)
      guard error == 0 else {
        throw WeirError(
          .storageRefused, "cannot write to \(out): \(String(cString: strerror(error)))", advice: "Is there space left?")
      }
    }
    var generator = EventGenerator(settings)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(chunkBytes + 4096)
    for _ in 0..<count {
      generator.next(into: &bytes)
      if bytes.count >= chunkBytes {
        try write(bytes)
        bytes.removeAll(keepingCapacity: true)
      }
    }
    try write(bytes)
    return 0
  }

  private static func open(_ out: String) throws -> Int32 {
    let descriptor = Foundation.open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw WeirError(.storageRefused, "cannot create the file \(out): \(String(cString: strerror(errno)))") }
    return descriptor
  }
}
