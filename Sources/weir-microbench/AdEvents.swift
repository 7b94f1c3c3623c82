import Glibc
import WeirCore
import WeirOperators

/// The benchmark's stream, in memory, in blocks of whole records as the reader cuts them.
struct AdEvents {
  let blocks: [RawBlock]
  let bytes: Int
  let records: Int

  static let fields = [
    Field(name: "event_id", type: .string, required: true), Field(name: "user_id", type: .string, required: true),
    Field(name: "ad_id", type: .string, required: true), Field(name: "ad_type", type: .string, required: true),
    Field(name: "event_type", type: .string, required: true),
    Field(name: "event_time", type: .timestamp, encoding: .milliseconds, required: true),
    Field(name: "ip_address", type: .string, required: true),
    Field(name: "amount", type: .decimal(precision: 12, scale: 2), required: true),
  ]

  /// - Parameter most: bytes that are taken from the file's beginning.
  init(file: String, most: Int) {
    guard let f = fopen(file, "rb") else {
      stop(
        "\(file) cannot be read",
        "Make it:  Scripts/benchmark/gen.py --n 500000 --out DIR, and give --data DIR (Scripts/bench micro does it)")
    }
    defer { fclose(f) }
    var blocks: [RawBlock] = []
    var bytes = 0
    var records = 0
    var carry: [UInt8] = []
    while bytes < most {
      let text = TextBuffer(bytes: 1 << 20)
      carry.withUnsafeBufferPointer { if let base = $0.baseAddress { text.base.update(from: base, count: $0.count) } }
      let count = carry.count + fread(text.base + carry.count, 1, (1 << 20) - carry.count, f)
      var end = count
      while end > 0, text.base[end - 1] != 0x0A { end -= 1 }
      if end == 0 { break }
      carry = Array(UnsafeBufferPointer(start: text.base + end, count: count - end))
      for i in 0..<end where text.base[i] == 0x0A { records += 1 }
      blocks.append(RawBlock(text: text, count: end, framing: .lines, position: Int64(bytes)))
      bytes += end
    }
    guard records > 0 else { stop("\(file) holds no records", "Generate it again with Scripts/benchmark/gen.py") }
    self.blocks = blocks
    self.bytes = bytes
    self.records = records
  }

  func decoded() -> [DecodedBlock] {
    let decoder = RecordDecoder(fields: AdEvents.fields)
    return blocks.map { decoder.decode($0) }
  }

  /// Expressions' view of the fields.
  static var inputs: [InputColumn] {
    fields.indices.map { InputColumn(name: fields[$0].name, type: fields[$0].type, nullable: false, origin: .field($0)) }
  }
}
