import WeirPlan
import Yams

/// The keys of one mapping of a pipeline file: the one place of their names, which the loader accepts and `weir schema` prints.
package struct KeyTable: Sendable {
  /// Of the definition in the schema: unique, and without `/` and `~`.
  package let name: String
  package let about: String
  package let keys: [Key]
  /// Keys of later versions, which a check refuses with `not_yet`.
  package var later: [String] = []
  /// Of each list, a file has exactly one.
  package var exactlyOne: [[String]] = []
  /// Of each list, a file does not have all.
  package var notTogether: [[String]] = []
  /// A key, and the keys that it needs.
  package var needs: KeyValuePairs<String, [String]> = [:]

  init(_ name: String, _ about: String, _ keys: [Key]) { (self.name, self.about, self.keys) = (name, about, keys) }

  package var names: [String] { keys.map(\.name) }

  /// The words that a key may have; empty: it is not of a set of words.
  func choices(_ key: String) -> [String] {
    guard let key = keys.first(where: { $0.name == key }), case .choice(let words) = key.value else { return [] }
    return words
  }

  func changed(_ change: (inout KeyTable) -> Void) -> KeyTable {
    var table = self
    change(&table)
    return table
  }
}

/// A key of a mapping.
package struct Key: Sendable {
  package var name: String
  package var value: ValueShape
  /// What it says, in one line.
  package var about: String
  package var isRequired = false
  /// What a file means that leaves it out, as a file would write it.
  package var byDefault: String?

  init(_ name: String, _ value: ValueShape, _ about: String, required: Bool = false, default: String? = nil) {
    (self.name, self.value, self.about) = (name, value, about)
    (isRequired, byDefault) = (required, `default`)
  }
}

/// What a value of a pipeline file may be, as far as its form shows it: names of columns, types of expressions and bounds are the check's.
package indirect enum ValueShape: Sendable {
  case any
  /// One value: YAML reads `5` and `true` as numbers and truth values, and the loader as text.
  case text
  /// A text, or a list of them.
  case texts(least: Int)
  /// The name of a table, which is that of a directory.
  case tableName(dots: Bool)
  case fieldType
  case choice([String])
  case truth
  /// With its bounds, as a file has them.
  case duration(LiveBounds.Bounds?)
  case size(LiveBounds.Bounds?)
  case percent
  /// A text, or the variable of the environment that has it: `{env: NAME}`.
  case variable
  case secret
  case table(KeyTable)
  /// A table, or nothing: `bronze:`.
  case optional(KeyTable)
  /// Names of the file's own, each with a value.
  case named(ValueShape, least: Int = 0)
  /// As ``named(_:)``, where the names are those of tables.
  case tables(ValueShape, least: Int = 0)
  case list(ValueShape)
  case either([ValueShape])

  static let texts = ValueShape.texts(least: 0)
  static let duration = ValueShape.duration(nil)
  static let size = ValueShape.size(nil)
}

extension YAMLReader {
  /// A mapping's members, after unknown and repeated keys were reported.
  func mapping(_ node: Node, _ what: String, _ table: KeyTable) -> [String: Node] {
    mapping(node, what, keys: table.names, later: table.later)
  }
}
