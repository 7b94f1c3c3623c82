import Foundation
import WeirCore
import WeirLocal
import WeirMockKinesis
import WeirReport

/// `weir mock-kinesis`: a server for tests and trials, gone with its process.
package enum MockKinesisCommand {
  /// - Parameters:
  ///   - streams: to make at the start.
  ///   - delay: of every answer, in milliseconds.
  /// - Returns: the exit code.
  package static func run(
    streams: [MockTopic], settings: MockKinesisSettings, port: UInt16, delay: Int, console: Console
  ) throws -> Int32 {
    let server = try MockKinesisServer(settings, port: port, delay: delay, clock: SystemClock())
    for stream in streams { try server.create(stream.name, shards: stream.partitions) }
    console.data(server.address)
    try console.check()
    try StandardCommands.read { line in
      console.data(server.command(line))
      try console.check()
    }
    return withExtendedLifetime(server) { 0 }
  }
}
