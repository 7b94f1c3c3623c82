import WeirCore
import WeirOperators
import WeirProtocol

/// The file of a pinned answer: a JSON object with the hash of what it says.
package enum SchemaPin {
  package static func encode(_ schema: RegisteredSchema?, _ id: SchemaID) -> [UInt8] {
    let answer = body(schema, id)
    return JSONValue.members(["answer": answer, "sha256": .string(ContentHash(of: answer.bytes).hex)]).bytes
  }

  private static func body(_ schema: RegisteredSchema?, _ id: SchemaID) -> JSONValue {
    guard let schema else { return .members(["id": .string(id.text), "unknown": .bool(true)]) }
    return .members([
      "id": .string(id.text), "type": .string(schema.type), "schema": .string(schema.schema),
      "references": .array(schema.references.map { .members(["name": .string($0.name), "schema": .string($0.schema)]) }),
    ])
  }

  /// Brings the pins of another lake into this one: what a repeated run went by.
  static func copy(from: any ObjectStore, _ there: LedgerLayout, to lake: any ObjectStore, _ here: LedgerLayout) async throws {
    for pin in try await from.list(there.schemas) where isName(pin.path) {
      guard let bytes = try await from.get(pin.path) else { continue }
      let path = here.schemas + pin.path.dropFirst(there.schemas.count)
      if case .unknown(let why) = await lake.putIfAbsent(NewObject(path: path, bytes: bytes)) {
        throw WeirError(.storage, "\(path) could not be written: \(why)")
      }
    }
  }

  /// Whether a path names the file of an id; other files are not the ledger's.
  static func isName(_ path: String) -> Bool {
    let name = path.split(separator: "/").last ?? ""
    let id = name.dropLast(5)
    guard name.hasSuffix(".json"), !id.isEmpty else { return false }
    // A number, or a GUID.
    return id.utf8.allSatisfy { (0x30...0x39).contains($0) } || id.split(separator: "-").map(\.utf8.count) == [8, 4, 4, 4, 12]
  }

  static func isIntact(_ bytes: [UInt8]) -> Bool {
    guard let value = try? JSONValue(parsing: bytes), let answer = value["answer"] else { return false }
    return value["sha256"]?.string == ContentHash(of: answer.bytes).hex
  }

  package static func decode(_ bytes: [UInt8], _ id: SchemaID, _ path: String) throws(WeirError) -> BlockSchemas.Resolved {
    guard isIntact(bytes), let value = try? JSONValue(parsing: bytes), let answer = value["answer"], answer["id"]?.string == id.text else {
      throw WeirError(.corrupt, "\(path) is not the schema that was written there", advice: "Restore it from a copy of the lake.")
    }
    if answer["unknown"]?.bool == true { return .unknown(id) }
    guard let type = answer["type"]?.string, let schema = answer["schema"]?.string else {
      throw WeirError(.corrupt, "\(path) holds no schema", advice: "Restore it from a copy of the lake.")
    }
    let references = answer["references"]?.array?.compactMap { item -> RegisteredSchema.Reference? in
      guard let name = item["name"]?.string, let text = item["schema"]?.string else { return nil }
      return .init(name: name, schema: text)
    }
    return .known(id, RegisteredSchema(type: type, schema: schema, references: references ?? []))
  }
}
