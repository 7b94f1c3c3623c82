import WeirCore

/// Where things are in the DynamoDB table. One DynamoDB table is the state table of one pipeline.
///
/// | `pk` (string)                    | `sk` (binary)                         | what it is                                        |
/// | `row#TABLE#GENERATION#BUCKET`    | `k`, then the row's key               | a row (``RowItem``)                               |
/// | `meta`                           | a name                                | a value next to the rows: `value`, `flush`        |
/// | `log#LANE`                       | token, then a number                  | keys that one write of a lane has (``FlushLog``)  |
/// | `pending`                        | token                                 | a write that is under way (``PendingFlush``)      |
/// | `layout`                         | `layout`                              | this: which generation of each table counts       |
///
/// A row's bucket is the FNV-1a hash (32 bits) of its key, modulo the number of buckets: a partition takes 1,000 writes a second, so a table
/// takes 1,000 for each bucket. The number of buckets is fixed when the table is made. A generation holds all rows of one
/// rebuild (``DynamoDBStateTable/replace(tables:with:meta:owners:)``); a table that was never rebuilt has generation 0.
struct TableLayout: Sendable, Hashable {
  static let key = ItemKey("layout", Array("layout".utf8))
  static let format: Int64 = 1
  static let bucketsMax = 256

  var buckets: Int
  /// By table, where it is not 0.
  var generations: [String: Int64] = [:]
  /// The number of the next generation.
  var next: Int64 = 1
  /// Generations that a rebuild writes at this moment, or that a killed one left.
  var building: [Generation] = []
  /// Generations that no reader looks at and whose rows are to be deleted.
  var garbage: [Generation] = []

  struct Generation: Sendable, Hashable {
    var table: String
    var number: Int64
  }

  init(buckets: Int) { self.buckets = buckets }

  func generation(of table: String) -> Int64 { generations[table] ?? 0 }

  // MARK: Keys

  static let rowPrefix = UInt8(ascii: "k")
  /// Bytes of a row's key at most.
  static let keyBytesMax = ItemKey.sortBytesMax - 1

  func partition(_ table: String, generation: Int64, bucket: Int) -> String { "row#\(table)#\(generation)#\(bucket)" }

  func row(_ table: String, _ key: [UInt8]) -> ItemKey { row(table, generation: generation(of: table), key) }

  func row(_ table: String, generation: Int64, _ key: [UInt8]) -> ItemKey {
    let hash = key.reduce(0x811C_9DC5 as UInt32) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
    return ItemKey(partition(table, generation: generation, bucket: Int(hash % UInt32(buckets))), [TableLayout.rowPrefix] + key)
  }

  static func meta(_ name: String) -> ItemKey { ItemKey("meta", Array(name.utf8)) }

  // MARK: Item

  /// Attributes `format` and `layout`, a JSON document.
  var attributes: [(String, Attribute)] {
    func list(_ generations: [Generation]) -> JSONValue {
      .array(generations.map { .members(["table": .string($0.table), "number": .int($0.number)]) })
    }
    let text = JSONValue.members([
      "buckets": .int(Int64(buckets)),
      "generations": .object(generations.sorted { $0.key < $1.key }.map { JSONValue.Member($0.key, .int($0.value)) }),
      "next": .int(next), "building": list(building), "garbage": list(garbage),
    ]).text
    return [("format", .number(TableLayout.format)), ("layout", .text(text))]
  }

  /// - Returns: nil: damaged, or of a later version.
  init?(_ item: Item) {
    guard item.number("format") == TableLayout.format, let text = item.text("layout"),
      let json = try? JSONValue(parsing: text.utf8), let buckets = json["buckets"]?.int,
      (1...Int64(TableLayout.bucketsMax)).contains(buckets), let next = json["next"]?.int,
      let building = TableLayout.list(json["building"]), let garbage = TableLayout.list(json["garbage"])
    else { return nil }
    self.init(buckets: Int(buckets))
    (self.next, self.building, self.garbage) = (next, building, garbage)
    for member in json["generations"]?.members ?? [] { generations[member.name] = member.value.int }
  }

  private static func list(_ json: JSONValue?) -> [Generation]? {
    json?.array?.compactMap { item in
      guard let table = item["table"]?.string, let number = item["number"]?.int else { return nil }
      return Generation(table: table, number: number)
    }
  }
}
