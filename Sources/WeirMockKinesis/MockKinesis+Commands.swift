import WeirCore

/// What a test asks of the server, one command per line.
extension MockKinesis {
  /// Of a command; a list of that many refusals is kept.
  static let countMax = 1_000_000

  static let operations: Set<String> = [
    "CreateStream", "DeleteStream", "ListStreams", "DescribeStream", "DescribeStreamSummary", "IncreaseStreamRetentionPeriod",
    "DecreaseStreamRetentionPeriod", "UpdateMaxRecordSize", "ListShards", "SplitShard", "MergeShards", "PutRecord", "PutRecords",
    "GetShardIterator", "GetRecords", "RegisterStreamConsumer", "DescribeStreamConsumer", "ListStreamConsumers",
    "DeregisterStreamConsumer", "SubscribeToShard",
  ]

  private struct Problem: Error {
    let text: String

    init(_ text: String) { self.text = text }
  }

  /// Carries a command out.
  /// - Returns: one line; it begins with `error: ` if the command was not carried out. Nothing has changed then.
  mutating func command(_ line: String) -> String {
    do throws(Problem) { return try carryOut(line.split(separator: " ").map(String.init)) ?? "done" } catch {
      return "error: \(error.text)"
    }
  }

  /// - Returns: what it answers; nil: nothing but that it is done.
  private mutating func carryOut(_ words: [String]) throws(Problem) -> String? {
    let name = words.first ?? ""
    guard let form = MockKinesis.forms.first(where: { $0.split(separator: " ").first.map(String.init) == name }) else {
      let what = name.isEmpty ? "an empty line" : Printable.text(name, bytesMax: 60)
      throw Problem("\(what) is not a command; the commands are \(MockKinesis.forms.joined(separator: ", "))")
    }
    guard form.split(separator: " ").count == words.count else { throw Problem("a command has the form \(form)") }
    switch name {
    case "refuse": try refuse(words)
    case "refuse-records":
      let count = try MockKinesis.count(words[1])
      change { $0.refuseRecords(count) }
    case "expire": change { $0.expireIterators() }
    case "silence": change { $0.isSilent = true }
    case "speak": change { $0.isSilent = false }
    case "cut": change { $0.cut() }
    case "trim": try trim(words)
    default: return JSONValue.object(calls.sorted { $0.key < $1.key }.map { .init($0.key, .int(Int64($0.value))) }).text
    }
    return nil
  }

  private static let forms = [
    "refuse OPERATION CODE COUNT", "refuse-records COUNT", "expire", "trim STREAM SHARD COUNT", "silence", "speak", "cut", "calls",
  ]

  private mutating func refuse(_ words: [String]) throws(Problem) {
    guard MockKinesis.operations.contains(words[1]) else {
      let all = MockKinesis.operations.sorted().joined(separator: ", ")
      throw Problem("\(Printable.text(words[1], bytesMax: 60)) is not an operation of this server: the operations are \(all)")
    }
    guard words[2].utf8.allSatisfy({ (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) }) else {
      throw Problem("\(Printable.text(words[2], bytesMax: 60)) is not the code of an error, such as LimitExceededException")
    }
    let count = try MockKinesis.count(words[3])
    change { $0.refuse(words[1], words[2], count) }
  }

  private mutating func trim(_ words: [String]) throws(Problem) {
    let count = try MockKinesis.count(words[3])
    guard streams[words[1]] != nil else { throw Problem("there is no stream \(Printable.text(words[1], bytesMax: 60))") }
    guard streams[words[1]]?.change(words[2], { $0.trim(count) }) != nil else {
      throw Problem("the stream \(words[1]) has no shard \(Printable.text(words[2], bytesMax: 60))")
    }
  }

  private static func count(_ text: String) throws(Problem) -> Int {
    guard let count = Int(text), (0...countMax).contains(count) else {
      throw Problem("\(Printable.text(text, bytesMax: 60)) is not a number from 0 to \(countMax)")
    }
    return count
  }
}
