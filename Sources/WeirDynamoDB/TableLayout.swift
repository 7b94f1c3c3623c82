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
/// rebuild (``DynamoDBStateTable/replace(tables:with:meta:owners:)``); a table that was never rebuilt has generation 0, or ``first``.
struct TableLayout: Sendable, Hashable {
  static let key = ItemKey("layout", Array("layout".utf8))
  static let format: Int64 = 1
  /// Of a layout with ``first``: an older version would look for the rows in the wrong place.
  static let formatWithFirst: Int64 = 2
  static let bucketsMax = 256

  var buckets: Int
  /// Of tables that are not in ``generations``. 0, but in the place of a layout that was lost: the rows of that one must not come back.
  var first: Int64 = 0
  /// By table, where it is not ``first``.
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

  /// A new one. No row that a layout before it has left is at a place of its rebuilds.
  /// - Parameters:
  ///   - random: any number.
  ///   - isInPlaceOfLost: no such row is at any place of it.
  init(buckets: Int, random: UInt64, isInPlaceOfLost: Bool) {
    self.buckets = buckets
    // JSON's numbers are exact up to 2^53, and a million rebuilds have numbers.
    next = Int64(random % (1 << 32) + 1) << 20
    if isInPlaceOfLost { (first, next) = (next, next + 1) }
  }

  func generation(of table: String) -> Int64 { generations[table] ?? first }

  // MARK: Keys

  static let rowPrefix = UInt8(ascii: "k")
  /// Bytes of a row's key that an item is named by.
  static let keyBytesMax = ItemKey.sortBytesMax - 1
  /// What is left of a longer one, before its hash.
  static let keyBytesCut = keyBytesMax - 16

  func partition(_ table: String, generation: Int64, bucket: Int) -> String { "row#\(table)#\(generation)#\(bucket)" }

  /// What an item has of a row's key: all of it, or of a key that is too long for DynamoDB its beginning and its hash. The item has the whole
  /// key, too.
  static func stored(_ key: [UInt8]) -> [UInt8] {
    guard key.count > keyBytesMax else { return key }
    let hash = key.withUnsafeBytes { Hash128($0) }
    return Array(key.prefix(keyBytesCut)) + BigEndian.bytes(hash.high) + BigEndian.bytes(hash.low)
  }

  func row(_ table: String, _ key: [UInt8]) -> ItemKey { row(table, generation: generation(of: table), key) }

  func row(_ table: String, generation: Int64, _ key: [UInt8]) -> ItemKey {
    let key = TableLayout.stored(key)
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
    var members: [JSONValue.Member] = [
      .init("buckets", .int(Int64(buckets))),
      .init("generations", .object(generations.sorted { $0.key < $1.key }.map { JSONValue.Member($0.key, .int($0.value)) })),
      .init("next", .int(next)), .init("building", list(building)), .init("garbage", list(garbage)),
    ]
    if first != 0 { members.append(.init("first", .int(first))) }
    let format = first == 0 ? TableLayout.format : TableLayout.formatWithFirst
    return [("format", .number(format)), ("layout", .text(JSONValue.object(members).text))]
  }

  /// - Returns: nil: damaged, or of a later version.
  init?(_ item: Item) {
    guard let format = item.number("format"), format == TableLayout.format || format == TableLayout.formatWithFirst,
      let text = item.text("layout"),
      let json = try? JSONValue(parsing: text.utf8), let buckets = json["buckets"]?.int,
      (1...Int64(TableLayout.bucketsMax)).contains(buckets), let next = json["next"]?.int,
      let building = TableLayout.list(json["building"]), let garbage = TableLayout.list(json["garbage"])
    else { return nil }
    self.init(buckets: Int(buckets))
    (self.next, self.building, self.garbage) = (next, building, garbage)
    if format == TableLayout.formatWithFirst {
      guard let first = json["first"]?.int else { return nil }
      self.first = first
    }
    for member in json["generations"]?.members ?? [] { generations[member.name] = member.value.int }
  }

  private static func list(_ json: JSONValue?) -> [Generation]? {
    json?.array?.compactMap { item in
      guard let table = item["table"]?.string, let number = item["number"]?.int else { return nil }
      return Generation(table: table, number: number)
    }
  }
}
