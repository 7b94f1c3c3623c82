import ArgumentParser
import Glibc
import WeirKafka

/// A broker for tests and trials, gone with its process.
@main
struct MockKafka: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "weir-mock-kafka",
    abstract: "A Kafka broker for tests: prints its address, runs until SIGTERM (or its stdin, if that is a pipe, closes).",
    discussion: """
      Keeps about 5 MB of each partition and drops older records. Does not look up offsets by time, does not \
      hide aborted transactions, and keeps nothing after it exits. Accepts commands on stdin, one per line: down (cuts all \
      connections, and accepts no new ones), up, delete TOPIC.

      Examples:
        weir-mock-kafka
        weir-mock-kafka --topic orders:4 --topic clicks:1
      """)

  @Option(name: .customLong("topic"), help: "A topic to create, with its number of partitions: NAME:COUNT. May be repeated.")
  var topics: [String] = []

  @Option(help: "Brokers of the cluster.")
  var brokers = 1

  @Option(
    help: ArgumentHelp(
      "Delay of every answer, in milliseconds.",
      discussion: """
        The group's leader sends one more request than its followers before it assigns partitions; the broker refuses followers that \
        arrive later, and all members join again. On a busy machine a delay makes the leader the last to arrive.
        """))
  var delay = 0

  @Flag(name: .customLong("debug"), help: "Log the activity of groups and connections to standard error.")
  var isTalking = false

  func run() throws {
    try MockKafka.keepFreedMemory()
    let made = try topics.map(MockKafka.topic)
    let broker = try MockBroker(brokers: max(1, brokers), isTalking: isTalking)
    if delay > 0 { broker.setDelay(milliseconds: delay) }
    for (name, partitions) in made { try broker.createTopic(name, partitions: partitions) }
    print(broker.bootstrap)
    fflush(nil)
    // Started with & from a shell, it must not stop at the terminal's input.
    signal(SIGTTIN, SIG_IGN)
    // SIGTERM ends the process as it always does: there is nothing to save.
    while let command = readLine() {
      let words = command.split(separator: " ").map(String.init)
      switch (words.first, words.count) {
      case ("down", 1): broker.setDown()
      case ("up", 1): broker.setUp()
      case ("delete", 2): broker.deleteTopic(words[1])
      default: throw ValidationError("\(command) is not a command: down, up, delete TOPIC")
      }
    }
    // A pipe closes when whoever started this has ended. A terminal and /dev/null (a script's &) say nothing.
    while !MockKafka.isPipe(0) { pause() }
    withExtendedLifetime(broker) {}
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
    throw ValidationError("cannot start again with \(name)=\(setting): \(String(cString: strerror(errno)))")
  }

  private static func isPipe(_ descriptor: Int32) -> Bool {
    var info = stat()
    return fstat(descriptor, &info) == 0 && [S_IFIFO, S_IFSOCK].contains(info.st_mode & S_IFMT)
  }

  private static func topic(_ text: String) throws -> (String, Int) {
    let parts = text.split(separator: ":")
    guard parts.count == 2, let count = Int(parts[1]), count > 0 else {
      throw ValidationError("\(text) is not a topic; give its name and number of partitions: orders:4")
    }
    return (String(parts[0]), count)
  }
}
