import Foundation
import WeirCore
import WeirKafka
import WeirReport

/// A topic, or a stream, that a test server creates: its name, and its partitions or shards.
package struct MockTopic: Sendable {
  /// The mock allocates each partition at once, and aborts where it cannot.
  package static let partitionsMax = 10_000

  let name: String
  let partitions: Int

  /// nil: it is not `NAME:COUNT`, or has more than ``partitionsMax`` partitions.
  package init?(_ text: String) {
    let parts = text.split(separator: ":")
    guard parts.count == 2, let count = Int(parts[1]), (1...MockTopic.partitionsMax).contains(count) else { return nil }
    (name, partitions) = (String(parts[0]), count)
  }
}

/// `weir mock-kafka`: a broker for tests and trials, gone with its process.
package enum MockKafkaCommand {
  /// Each broker has a socket.
  package static let brokersMax = 100
  /// Milliseconds. Clients give up on an answer that takes longer.
  package static let delayMax = 60_000

  /// - Parameters:
  ///   - brokers: from 1 to ``brokersMax``.
  ///   - delay: of every answer, in milliseconds: at most ``delayMax``.
  ///   - isTalking: logs what its groups and connections do.
  /// - Returns: the exit code.
  package static func run(topics: [MockTopic], brokers: Int, delay: Int, isTalking: Bool, console: Console) throws -> Int32 {
    try keepFreedMemory()
    let broker: MockBroker
    do {
      broker = try MockBroker(brokers: brokers, isTalking: isTalking)
      if delay > 0 { broker.setDelay(milliseconds: delay) }
      for topic in topics { try broker.createTopic(topic.name, partitions: topic.partitions) }
    } catch {
      throw error.weirError
    }
    console.data(broker.bootstrap)
    try console.check()
    try StandardCommands.read { command in
      let words = command.split(separator: " ").map(String.init)
      switch (words.first, words.count) {
      case ("down", 1): broker.setDown()
      case ("up", 1): broker.setUp()
      case ("delete", 2): broker.deleteTopic(words[1])
      default: throw WeirError(.config, "\(command) is not a command of the test broker", advice: "Send down, up or delete TOPIC.")
      }
    }
    return withExtendedLifetime(broker) { 0 }
  }

  /// Starts this program once more, with an allocator that gives no freed memory to `calloc`.
  ///
  /// librdkafka's mock names a group's member by the address that it has in memory, and so gives the name of one that left or was
  /// thrown out to the next one that joins. A worker that slept longer than its session then wakes with the name of another, and
  /// speaks for it; if it joins while the other waits to, an assertion ends the broker
  /// (`rd_kafka_mock_cgrp_member_add: Assertion !member->resp`). glibc's thread caches take freed memory first, and `calloc` takes
  /// nothing from them: large enough ones keep every name for its first owner. (Seen: 22 members had 15 names, now 22.)
  private static func keepFreedMemory() throws {
    let (name, setting) = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=65535")
    let before = getenv(name).map { String(cString: $0) }
    guard before?.contains(setting) != true else { return }
    setenv(name, before.map { "\($0):\(setting)" } ?? setting, 1)
    var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) } + [nil]
    execv("/proc/self/exe", &arguments)
    throw WeirError(.config, "cannot start again with \(name)=\(setting): \(String(cString: strerror(errno)))")
  }
}
