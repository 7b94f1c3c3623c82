import ArgumentParser
import WeirCommands

/// `weir mock-kafka`.
struct MockKafka: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mock-kafka",
    abstract: "Runs a Kafka broker for tests and trials; keeps its records in memory.",
    discussion: """
      Prints its address, and runs until SIGTERM or, if stdin is a pipe, until stdin closes. Keeps about 5 MB of each partition and drops \
      older records. Does not look up offsets by time, does not hide aborted transactions, and keeps nothing after it exits. Accepts \
      commands on stdin, one per line: down (cuts all connections, and accepts no new ones), up, delete TOPIC.

      Examples:
        weir mock-kafka
        weir mock-kafka --topic orders:4 --topic clicks:1
      """)

  @Option(
    name: .customLong("topic"), help: "A topic to create, with its number of partitions: NAME:COUNT. May be repeated.",
    transform: MockKafka.topic)
  var topics: [MockTopic] = []

  @Option(help: "Number of brokers in the cluster.")
  var brokers = 1

  @Option(
    help: ArgumentHelp(
      "Delay of every answer, in milliseconds.",
      discussion: """
        The group's leader sends one more request than its followers before it assigns partitions; the broker refuses followers that \
        arrive later, and all members join again. On a busy machine a delay makes the leader the last to arrive.
        """))
  var delay = 0

  @Flag(name: .customLong("debug"), help: "Log group and connection activity to standard error.")
  var isTalking = false

  func validate() throws {
    guard (1...MockKafkaCommand.brokersMax).contains(brokers) else {
      throw ValidationError("--brokers must be from 1 to \(MockKafkaCommand.brokersMax), not \(brokers)")
    }
    guard (0...MockKafkaCommand.delayMax).contains(delay) else {
      throw ValidationError("--delay must be from 0 to \(MockKafkaCommand.delayMax) milliseconds, not \(delay)")
    }
  }

  func run() async throws {
    try await exiting {
      try MockKafkaCommand.run(topics: topics, brokers: brokers, delay: delay, isTalking: isTalking, console: $0)
    }
  }

  @Sendable private static func topic(_ text: String) throws -> MockTopic {
    guard let topic = MockTopic(text) else {
      throw ValidationError(
        "\(text) is not a topic; give its name and number of partitions, from 1 to \(MockTopic.partitionsMax): orders:4")
    }
    return topic
  }
}
