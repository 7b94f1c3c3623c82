import WeirCore

/// A file that a table holds.
package struct DeltaAdd: Sendable, Equatable {
  /// As it is written in the log: RFC 2396-encoded, relative to the table.
  package var path: String
  package var partitionValues: [(name: String, value: String?)]
  package var bytes: Int64
  package var modificationMilliseconds: Int64
  /// JSON text.
  package var stats: String?

  package init(
    path: String, partitionValues: [(name: String, value: String?)], bytes: Int64, modificationMilliseconds: Int64, stats: String?
  ) {
    self.path = path
    self.partitionValues = partitionValues
    self.bytes = bytes
    self.modificationMilliseconds = modificationMilliseconds
    self.stats = stats
  }

  package static func == (a: DeltaAdd, b: DeltaAdd) -> Bool { a.json == b.json }

  var partitionJSON: JSONValue { .object(partitionValues.map { .init($0.name, $0.value.map { .string($0) } ?? .null) }) }

  var json: JSONValue {
    .members([
      "path": .string(path), "partitionValues": partitionJSON, "size": .int(bytes),
      "modificationTime": .int(modificationMilliseconds), "dataChange": .bool(true), "stats": stats.map { .string($0) } ?? .null,
    ])
  }
}

/// A file that a table no longer holds (a tombstone).
package struct DeltaRemove: Sendable, Equatable {
  package var path: String
  package var deletionMilliseconds: Int64?
  package var dataChange: Bool
}

package struct DeltaMetadata: Sendable, Equatable {
  package var id: String
  package var name: String?
  /// The schema as Spark's JSON.
  package var schema: String
  package var partitionColumns: [String]
  package var configuration: [String: String]
  package var createdMilliseconds: Int64?
}

/// One line of a commit.
package enum DeltaAction: Sendable, Equatable {
  case protocolVersion(reader: Int64, writer: Int64, features: [String])
  case metadata(DeltaMetadata)
  case add(DeltaAdd)
  case remove(DeltaRemove)
  case transaction(appID: String, version: Int64)
  /// commitInfo, and what other writers add.
  case other(name: String, JSONValue)
}

// MARK: - JSON

extension DeltaAction {
  package var json: JSONValue {
    switch self {
    case .protocolVersion(let reader, let writer, _):
      .members(["protocol": .members(["minReaderVersion": .int(reader), "minWriterVersion": .int(writer)])])
    case .metadata(let m): .members(["metaData": DeltaAction.metadata(m)])
    case .add(let a): .members(["add": a.json])
    case .remove(let r):
      .members([
        "remove": .members([
          "path": .string(r.path), "deletionTimestamp": r.deletionMilliseconds.map { .int($0) } ?? .null, "dataChange": .bool(r.dataChange),
        ])
      ])
    case .transaction(let app, let version): .members(["txn": .members(["appId": .string(app), "version": .int(version)])])
    case .other(let name, let value): .object([.init(name, value)])
    }
  }

  private static func metadata(_ m: DeltaMetadata) -> JSONValue {
    .members([
      "id": .string(m.id), "name": m.name.map { .string($0) } ?? .null,
      "format": .members(["provider": .string("parquet"), "options": .object([])]), "schemaString": .string(m.schema),
      "partitionColumns": .array(m.partitionColumns.map { .string($0) }),
      "configuration": .object(m.configuration.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) }),
      "createdTime": m.createdMilliseconds.map { .int($0) } ?? .null,
    ])
  }

  /// Reads one line; nil if a known action is broken.
  package init?(_ value: JSONValue) {
    guard let member = value.members?.first else { return nil }
    let v = member.value
    switch member.name {
    case "protocol":
      guard let reader = v["minReaderVersion"]?.int, let writer = v["minWriterVersion"]?.int else { return nil }
      let features = (v["readerFeatures"]?.array ?? []) + (v["writerFeatures"]?.array ?? [])
      self = .protocolVersion(reader: reader, writer: writer, features: features.compactMap(\.string))
    case "metaData":
      guard let id = v["id"]?.string, let schema = v["schemaString"]?.string else { return nil }
      var configuration: [String: String] = [:]
      for item in v["configuration"]?.members ?? [] { configuration[item.name] = item.value.string }
      self = .metadata(
        DeltaMetadata(
          id: id, name: v["name"]?.string, schema: schema, partitionColumns: (v["partitionColumns"]?.array ?? []).compactMap(\.string),
          configuration: configuration, createdMilliseconds: v["createdTime"]?.int))
    case "add":
      guard let path = v["path"]?.string, let size = v["size"]?.int else { return nil }
      self = .add(
        DeltaAdd(
          path: path, partitionValues: (v["partitionValues"]?.members ?? []).map { ($0.name, $0.value.string) }, bytes: size,
          modificationMilliseconds: v["modificationTime"]?.int ?? 0, stats: v["stats"]?.string))
    case "remove":
      guard let path = v["path"]?.string else { return nil }
      self = .remove(DeltaRemove(path: path, deletionMilliseconds: v["deletionTimestamp"]?.int, dataChange: v["dataChange"]?.bool ?? true))
    case "txn":
      guard let app = v["appId"]?.string, let version = v["version"]?.int else { return nil }
      self = .transaction(appID: app, version: version)
    default: self = .other(name: member.name, v)
    }
  }
}

/// Commits as bytes: `commitInfo` first, then the actions, a JSON object a line.
package enum DeltaCommit {
  private static let blank = String(repeating: "0", count: 64)
  private static let member = "contentHash"

  /// - Parameter info: members of `commitInfo`; `contentHash` is added: SHA-256 over the whole commit with the hash
  ///   itself written as 64 zeros, so that every byte of the file is covered.
  package static func encode(info: [JSONValue.Member], actions: [DeltaAction]) -> [UInt8] {
    var out: [UInt8] = []
    JSONValue.object([.init("commitInfo", .object(info + [.init(member, .string(blank))]))]).write(into: &out)
    // The hash is the last member.
    let hash = out.count - 3 - blank.utf8.count..<out.count - 3
    out.append(0x0A)
    for action in actions {
      action.json.write(into: &out)
      out.append(0x0A)
    }
    out.replaceSubrange(hash, with: ContentHash(of: out).hex.utf8)
    return out
  }

  /// Whether a commit that ``encode(info:actions:)`` made is unchanged; nil if it carries no hash (another writer's).
  package static func isIntact(_ bytes: [UInt8]) -> Bool? {
    let marker = Array("\"\(member)\":\"".utf8)
    let line = bytes.prefix { $0 != 0x0A }
    guard line.count > marker.count + 64, line.starts(with: Array("{\"commitInfo\":".utf8)) else { return nil }
    var at = line.count - marker.count - 64
    while at >= 0, !line[at...].starts(with: marker) { at -= 1 }
    guard at >= 0 else { return nil }
    let hash = at + marker.count..<at + marker.count + 64
    guard hash.upperBound <= line.count else { return false }
    var blanked = bytes
    blanked.replaceSubrange(hash, with: Array(blank.utf8))
    return ContentHash(of: blanked).hex == String(decoding: bytes[hash], as: UTF8.self)
  }

  /// The actions of a commit file; `path` names it in errors.
  package static func decode(_ bytes: [UInt8], path: String) throws(WeirError) -> [DeltaAction] {
    var actions: [DeltaAction] = []
    for (number, line) in bytes.split(separator: 0x0A).enumerated() where !line.allSatisfy({ $0 == 0x20 || $0 == 0x0D }) {
      guard let value = try? JSONValue(parsing: line), let action = DeltaAction(value) else {
        throw WeirError(
          .corrupt, "line \(number + 1) of the Delta log file \(path) is not an action of the protocol",
          advice: "Restore the file from a copy.")
      }
      actions.append(action)
    }
    return actions
  }
}
