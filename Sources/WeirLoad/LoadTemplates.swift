import WeirCore
import WeirEngine

/// Records made before the load begins, sent round and round: of each only its id and its time are written anew.
///
/// The id of record `n` (from 0) is `rrrrrrrr-tttt-tttt-tttt-nnnnnnnnnnnn`: the run, microseconds from the start of the load to when the record
/// was due, and `n`, all hexadecimal; its event time is when it was due. So whatever a pipeline keeps of a record tells when it was to be
/// sent, and what was sent is known without keeping it: record `n` is template `n % count`.
package final class LoadTemplates: @unchecked Sendable {
  // Unchecked: the driver's thread alone writes into the text; the rest is constant.
  static let idBytes = 36
  private static let timeText = Array("1111111111111".utf8)
  private static let placeholder = 1_111_111_111_111

  struct Template {
    var start: Int
    var length: Int
    /// Where in the text id, time and key begin.
    var id: Int
    var time: Int
    var key: Int
    var keyLength: Int
    var partition: Int
    /// Number of its key, and how many templates before it have the same.
    var keyNumber: Int
    var before: Int
  }

  let text: UnsafeMutablePointer<UInt8>
  let all: [Template]
  let keys: [String]
  /// Templates with each key.
  let templatesOfKey: [Int64]
  /// The templates that go to each partition, in order.
  let ofPartition: [[Int32]]

  var count: Int { all.count }

  /// - Parameters:
  ///   - run: 32 bits, in every id.
  ///   - partitions: of the topic.
  package init(_ settings: GeneratorSettings, count: Int, run: UInt32, partitions: Int, partitioner: Partitioner) throws(WeirError) {
    var bytes: [UInt8] = []
    var all: [Template] = []
    var numbers: [String: Int] = [:]
    var (keys, templatesOfKey): ([String], [Int64]) = ([], [])
    var ofPartition = [[Int32]](repeating: [], count: partitions)
    let runText = Array((String(repeating: "0", count: 8) + String(run, radix: 16)).suffix(8).utf8)
    for i in 0..<count {
      var line = LineWriter()
      EventGenerator.event(settings, Int64(i), time: LoadTemplates.placeholder, into: &line)
      let found = try LoadTemplates.places(line.bytes, key: settings.stream.key)
      line.bytes.replaceSubrange(found.id..<found.id + 8, with: runText)
      for dash in [8, 13, 18, 23] { line.bytes[found.id + dash] = UInt8(ascii: "-") }
      let key = String(decoding: line.bytes[found.key], as: UTF8.self)
      let number = numbers[key] ?? keys.count
      if number == keys.count {
        numbers[key] = number
        keys.append(key)
        templatesOfKey.append(0)
      }
      let partition = Array(line.bytes[found.key]).withUnsafeBufferPointer { partitioner.shard(of: $0, count: partitions) }
      let start = bytes.count
      all.append(
        Template(
          start: start, length: line.bytes.count, id: start + found.id, time: start + found.time, key: start + found.key.lowerBound,
          keyLength: found.key.count, partition: partition, keyNumber: number, before: Int(templatesOfKey[number])))
      templatesOfKey[number] += 1
      ofPartition[partition].append(Int32(i))
      bytes += line.bytes
    }
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
    bytes.withUnsafeBufferPointer { if let base = $0.baseAddress { memory.update(from: base, count: $0.count) } }
    text = memory
    (self.all, self.keys, self.templatesOfKey, self.ofPartition) = (all, keys, templatesOfKey, ofPartition)
  }

  deinit { text.deallocate() }

  private static func places(_ line: [UInt8], key: String) throws(WeirError) -> (id: Int, time: Int, key: Range<Int>) {
    guard let id = find(Array("\":\"".utf8), in: line, from: 0), let time = find(timeText, in: line, from: 0),
      let name = find(Array("\"\(key)\":\"".utf8), in: line, from: 0)
    else { throw WeirError(.internal, "a stream's records have no id, time or key") }
    let from = name + key.utf8.count + 4
    let end = line[from...].firstIndex(of: UInt8(ascii: "\"")) ?? line.count
    return (id + 3, time, from..<end)
  }

  private static func find(_ text: [UInt8], in line: [UInt8], from: Int) -> Int? {
    guard line.count >= text.count else { return nil }
    return (from...line.count - text.count).first { line[$0] == text[0] && line[$0..<$0 + text.count].elementsEqual(text) }
  }

  // MARK: The hot path

  private static let hex: [UInt16] = (0..<256).map { byte in
    let digits = Array("0123456789abcdef".utf8)
    return UInt16(digits[byte >> 4]) | UInt16(digits[byte & 15]) << 8
  }
  private let hex = LoadTemplates.hex.withUnsafeBufferPointer { table in
    let copy = UnsafeMutablePointer<UInt16>.allocate(capacity: 256)
    copy.update(from: table.baseAddress!, count: 256)
    return UnsafePointer(copy)  // for the life of the process, as a table of constants is
  }

  @inline(__always)
  private func put(_ id: UnsafeMutableRawPointer, _ at: Int, _ byte: Int64) {
    id.storeBytes(of: hex[Int(truncatingIfNeeded: byte & 255)], toByteOffset: at, as: UInt16.self)
  }

  /// Writes the id and the time of a record into its template.
  @inline(__always)
  func stamp(_ template: Template, number: Int64, microseconds: Int64, time: UnsafePointer<UInt8>) {
    let id = UnsafeMutableRawPointer(text + template.id)
    put(id, 9, microseconds >> 40)
    put(id, 11, microseconds >> 32)
    put(id, 14, microseconds >> 24)
    put(id, 16, microseconds >> 16)
    put(id, 19, microseconds >> 8)
    put(id, 21, microseconds)
    for i in 0..<6 { put(id, 24 + 2 * i, number >> Int64(40 - 8 * i)) }
    (text + template.time).update(from: time, count: 13)
  }

  /// What ``stamp(_:number:microseconds:time:)`` wrote: (run, microseconds, number); nil: no such id.
  static func read(id: some Collection<UInt8>) -> (run: UInt32, microseconds: Int64, number: Int64)? {
    let parts = String(decoding: id, as: UTF8.self).split(separator: "-")
    guard parts.count == 5, let run = UInt32(parts[0], radix: 16), let time = Int64(parts[1] + parts[2] + parts[3], radix: 16),
      let number = Int64(parts[4], radix: 16)
    else { return nil }
    return (run, time, number)
  }

  /// Records of a key among the first `sent` of the load.
  func count(ofKey number: Int, sent: Int64, templates: [Int64]) -> Int64 {
    sent / Int64(count) * templatesOfKey[number] + templates[number]
  }

  /// By key: templates among the first `rest`.
  func counts(first rest: Int) -> [Int64] {
    var counts = [Int64](repeating: 0, count: keys.count)
    for template in all.prefix(rest) { counts[template.keyNumber] += 1 }
    return counts
  }
}
