import WeirCore

/// All that the AWS client sees of the world.
package protocol AWSMachine: Sendable {
  var transport: any AWSTransport { get }
  var clock: any Clock { get }
  var random: any RandomSource { get }
  /// Of the environment; empty ones count as not set.
  func variable(_ name: String) -> String?
  /// - Returns: nil: there is no such file.
  /// - Throws: it cannot be read, or has more than 1 MiB.
  func read(_ path: String) async throws(AWSFailure) -> [UInt8]?
  /// Runs a program, found along `PATH`, with no input.
  /// - Returns: what it wrote to standard output, at most 1 MiB. The rest of what it writes is lost: it may contain secrets.
  /// - Throws: it cannot be started, fails, or takes more than these seconds.
  func run(_ words: [String], seconds: Int) async throws(AWSFailure) -> [UInt8]
}

extension AWSMachine {
  var seconds: Int64 { clock.wallMicroseconds / 1_000_000 }

  /// `~` and `~/...` are paths below the home directory.
  func expanded(_ path: String) -> String {
    guard path == "~" || path.hasPrefix("~/"), let home = variable("HOME") else { return path }
    return home + path.dropFirst()
  }

  func isTrue(_ name: String) -> Bool? { variable(name).map { $0.lowercased() == "true" } }
}
