import Foundation
import WeirCore
import WeirLocal
import WeirPlan
import Yams

/// A file of prices, YAML or JSON: what differs from the built-in table (`weir explain --prices-template` prints all of it).
package enum PriceFile {
  /// More than a table of prices has.
  private static let bytesMax = 1 << 20
  private static let keys = ["date", "region", "source", "prices"]

  /// - Throws: `config`, with the name of what is wrong.
  package static func read(_ path: String) throws(WeirError) -> PriceTable {
    switch Paths.contents(of: path, bytesMax: bytesMax) {
    case .bytes(let data):
      guard let text = String(validating: data, as: UTF8.self) else { throw refused(path, "it is not UTF-8") }
      return try parsed(text, path)
    case .tooLarge: throw refused(path, "it has more than \(bytesMax) bytes (prices_file)")
    case .unreadable: throw refused(path, "it cannot be read: \(Paths.whyUnreadable(path))")
    }
  }

  static func parsed(_ text: String, _ path: String) throws(WeirError) -> PriceTable {
    // Anchors may stand for many times their text, and no table of prices needs one.
    guard AliasBounds.firstTooLarge(text) == nil else { throw refused(path, "its anchors and aliases are too many, too deep or too large") }
    let composed = try? SurrogateEscapes.compose(text)
    guard let root = composed?.node.mapping else { throw refused(path, "it is not a mapping in YAML or JSON") }
    // Any file can be named: what another program's file has in it may be its secrets, and is not shown.
    guard root.contains(where: { keys.contains($0.key.string ?? "") }) else {
      throw refused(path, "it is not a file of prices: it has none of the keys \(keys.joined(separator: ", "))")
    }
    var table = PriceTable.builtIn
    var given: Set<PriceTable.Name> = []
    for (key, value) in root {
      switch key.string {
      case "date": table.date = try text_(value, path, "date")
      case "region": table.region = try text_(value, path, "region")
      case "source": table.source = try text_(value, path, "source")
      case "prices": given = try read(value, into: &table, path)
      default: throw refused(path, "\(shown(key)) is unknown: the keys are \(keys.joined(separator: ", "))")
      }
    }
    if table.region != PriceTable.builtIn.region {
      guard !given.isEmpty else {
        throw WeirError(
          .config, "the prices in \(path): it names the region \(table.region) and has no price",
          advice: "The built-in prices are of \(PriceTable.builtIn.region): give the prices of \(table.region), or leave region out.")
      }
      table.foreign = Set(PriceTable.builtIn.prices.keys).subtracting(given)
    }
    return table
  }

  /// - Returns: the prices that the file has.
  private static func read(_ node: Node, into table: inout PriceTable, _ path: String) throws(WeirError) -> Set<PriceTable.Name> {
    var given: Set<PriceTable.Name> = []
    guard let prices = node.mapping else { throw refused(path, "prices is not a mapping") }
    for (key, value) in prices {
      guard let name = key.string.flatMap({ PriceTable.Name(rawValue: $0) }) else {
        let names = PriceTable.Name.allCases.map(\.rawValue).joined(separator: ", ")
        throw refused(path, "there is no price \(shown(key)): the prices are \(names)")
      }
      var price = table.prices[name] ?? PriceTable.Price(0, "units")
      if let number = number(value) {
        price = PriceTable.Price(number, price.unit)
      } else if let members = value.mapping, let dollars = members["dollars"].flatMap(number) {
        price.dollars = dollars
        price.per = members["per"] == nil ? 1 : members["per"].flatMap(number) ?? 0
        if let other = members.keys.first(where: { $0.string != "dollars" && $0.string != "per" }) {
          throw refused(path, "\(name.rawValue) has \(shown(other)): it may have dollars and per")
        }
      } else {
        throw refused(path, "\(name.rawValue) is not a number of dollars, or {dollars: 0.005, per: 1000}")
      }
      guard (0...1e9).contains(price.dollars), (1...1e12).contains(price.per) else {
        throw refused(path, "\(name.rawValue): dollars are from 0 to 1000000000, and per is from 1 to 1000000000000")
      }
      table.prices[name] = price
      given.insert(name)
    }
    return given
  }

  private static func number(_ node: Node) -> Double? { node.string.flatMap { Double($0) }.flatMap { $0.isFinite ? $0 : nil } }

  private static func text_(_ node: Node, _ path: String, _ name: String) throws(WeirError) -> String {
    guard let text = node.string, !text.isEmpty else { throw refused(path, "\(name) is not a text") }
    return Printable.text(text, bytesMax: 200)
  }

  private static func shown(_ node: Node) -> String { Printable.text(node.string ?? "a key that is not a text", bytesMax: 60) }

  private static func refused(_ path: String, _ reason: String) -> WeirError {
    WeirError(.config, "the prices in \(path): \(reason)", advice: "weir explain --prices-template prints a valid file.")
  }
}
