import WeirCore

/// `catalog: {glue: …}`, as a plan holds it. Apart from the catalogue itself, so that plans link no client.
package struct GlueSettings: Sendable, Hashable {
  package static let adapter = "glue"

  package enum Option: String, CaseIterable, Sendable { case database, prefix, create, region, endpoint }

  package var database: String
  /// Before the names of all tables; empty: none.
  package var prefix = ""
  /// Makes the database where it is missing.
  package var create = true
  /// nil: as the environment and the shared configuration say.
  package var region: String?
  /// Another address than the service's own, such as that of a local server.
  package var endpoint: String?

  /// What is wrong with a setting.
  package struct Problem: Error, Sendable, Equatable {
    package var option: Option?
    package var reason: String
  }

  package init(database: String) { self.database = database }

  /// - Parameter options: as ``CatalogSpec/settings``.
  package init(_ options: [String: String]) throws(Problem) {
    for name in options.keys.sorted() where Option(rawValue: name) == nil {
      throw Problem(option: nil, reason: "there is no setting \(name)")
    }
    database = options[Option.database.rawValue] ?? ""
    guard GlueNames.isName(database) else {
      throw Problem(
        option: .database,
        reason: "a database has a name of 1 to 255 lower-case letters, digits and underscores: Athena finds no other")
    }
    prefix = options[Option.prefix.rawValue] ?? ""
    guard prefix.isEmpty || GlueNames.isName(prefix) else {
      throw Problem(option: .prefix, reason: "a prefix has lower-case letters, digits and underscores")
    }
    switch options[Option.create.rawValue] {
    case nil, "true": create = true
    case "false": create = false
    default: throw Problem(option: .create, reason: "create is true or false")
    }
    region = options[Option.region.rawValue]
    if let region, !HostAddress.isLabel(region) { throw Problem(option: .region, reason: "a region is a name such as eu-central-1") }
    endpoint = options[Option.endpoint.rawValue]
    if let endpoint, !HostAddress.isWebAddress(endpoint) {
      throw Problem(
        option: .endpoint,
        reason:
          "an endpoint is an address http://HOST:PORT or https://HOST, with a port up to 65535, without user and parameters")
    }
  }

  /// What ``init(_:)`` reads.
  package var options: [String: String] {
    var options = [Option.database.rawValue: database]
    if !prefix.isEmpty { options[Option.prefix.rawValue] = prefix }
    if !create { options[Option.create.rawValue] = "false" }
    options[Option.region.rawValue] = region
    options[Option.endpoint.rawValue] = endpoint
    return options
  }
}

/// Names that Athena and Glue agree on: lower case, letters, digits and underscores (Athena User Guide, "Name databases, tables, and columns").
package enum GlueNames {
  package static let bytesMax = 255

  package static func isName(_ text: String) -> Bool {
    (1...bytesMax).contains(text.utf8.count) && text.utf8.allSatisfy { isPlain($0) }
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    byte >= 0x30 && byte <= 0x39 || byte >= 0x61 && byte <= 0x7A || byte == UInt8(ascii: "_")
  }

  /// The name of a table: `gold/Ad-Views` is `gold_ad_views`.
  package static func table(_ path: String, prefix: String) -> String {
    prefix
      + String(
        decoding: path.utf8.map { byte in
          let lower = byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
          return isPlain(lower) ? lower : UInt8(ascii: "_")
        }, as: UTF8.self)
  }

  /// Why tables cannot be registered together; nil: they can.
  package static func problem(_ tables: [(path: String, columns: [String])], prefix: String) -> String? {
    var paths: [String: String] = [:]
    for (path, columns) in tables {
      let name = table(path, prefix: prefix)
      if let other = paths[name] { return "the tables \(other) and \(path) would both be called \(name): rename one of them" }
      guard name.utf8.count <= bytesMax else { return "the table \(path) would have a name of more than \(bytesMax) characters" }
      paths[name] = path
      var seen: [String: String] = [:]
      for column in columns {
        if let other = seen[ColumnNames.folded(column)] {
          return "the columns \(other) and \(column) of \(path) differ only in case, which Glue and Athena ignore"
        }
        guard column.utf8.count <= bytesMax else { return "a column of \(path) has a name of more than \(bytesMax) characters" }
        seen[ColumnNames.folded(column)] = column
      }
    }
    return nil
  }
}
