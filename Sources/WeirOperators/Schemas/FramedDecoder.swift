import WeirCore

/// Decodes blocks whose records carry the ids of schemas: deterministic, given the schemas of the ids.
///
/// Serves one block at a time. Programs of schemas are kept, ``programsMax`` of them.
package final class FramedDecoder: BlockDecoder {
  /// What comes after the id.
  package enum Body: Sendable { case avro, json }

  /// Of one schema: how to decode its records, or why they cannot be.
  private enum Program {
    case avro(AvroProgram)
    case json
    case unusable(String)
  }

  private static let programsMax = 256

  private let body: Body
  private let fields: [Field]
  private let json: RecordDecoder
  private var run: AvroRun
  private var programs: [SchemaID: Program] = [:]

  /// - Parameter read: see ``RecordDecoder/init(fields:read:)``.
  package init(_ body: Body, fields: [Field], read: [Bool]? = nil) {
    self.body = body
    self.fields = fields
    json = RecordDecoder(fields: fields, read: read)
    run = AvroRun(fields: fields, read: read)
  }

  deinit { run.destroy() }

  /// - Precondition: the block's schemas are resolved.
  package func decode(_ raw: RawBlock) -> DecodedBlock {
    guard let schemas = raw.schemas else { preconditionFailure("a block whose schemas were not resolved") }
    let (offset, length, _) = raw.records()
    let programs = schemas.resolved.map(program)
    var unusable: [Int: Rejection] = [:]
    for row in 0..<offset.count where reason(row, schemas, programs) != nil {
      let none = raw.details?.isTombstone(row) == true ? RecordDetails.noValue : nil
      unusable[row] = Rejection(stage: .schema, reason: none ?? reason(row, schemas, programs)!)
    }
    let bodies = (0..<offset.count).map { row in
      unusable[row] == nil ? (offset[row] + UInt32(schemas.prefixes[row]), length[row] - UInt32(schemas.prefixes[row])) : (offset[row], 0)
    }
    var decoded =
      body == .avro
      ? avro(raw, bodies, schemas, programs, unusable) : jsonBodies(raw, bodies, unusable)
    // The record as received is what tables keep, not its body.
    (decoded.raw, decoded.offset, decoded.length) = (raw, offset, length)
    return decoded
  }

  private func reason(_ row: Int, _ schemas: BlockSchemas, _ programs: [Program]) -> String? {
    guard schemas.places[row] >= 0 else {
      return "the record names no schema: neither a header __value_schema_id nor a first byte 0 followed by an id"
    }
    if case .unusable(let reason) = programs[Int(schemas.places[row])] { return reason }
    return nil
  }

  private func program(_ resolved: BlockSchemas.Resolved) -> Program {
    let id = resolved.id
    if let known = programs[id] { return known }
    if programs.count >= FramedDecoder.programsMax { programs.removeAll() }
    let made: Program
    switch resolved {
    case .unknown: made = .unusable("schema \(id.text): the registry has no schema with this id")
    case .known(_, let schema):
      do {
        made = body == .avro ? .avro(try AvroProgram(schema, fields: fields)) : .json
        if body != .avro { try JSONSchemaCheck.check(schema, fields: fields) }
      } catch {
        programs[id] = .unusable("schema \(id.text): \(error.reason)")
        return programs[id]!
      }
    }
    programs[id] = made
    return made
  }

  // MARK: JSON after an id

  /// Rows that are not usable are handed over as empty, and get their own reason.
  private func jsonBodies(_ raw: RawBlock, _ bodies: [(UInt32, UInt32)], _ unusable: [Int: Rejection]) -> DecodedBlock {
    var raw = raw
    raw.framing = .spans(offset: bodies.map(\.0), length: bodies.map(\.1))
    var decoded = json.decode(raw)
    decoded.rejections = decoded.rejections.map { ($0.row, unusable[$0.row] ?? $0.rejection) }
    return decoded
  }

  // MARK: Avro

  private func avro(
    _ raw: RawBlock, _ bodies: [(UInt32, UInt32)], _ schemas: BlockSchemas, _ programs: [Program], _ unusable: [Int: Rejection]
  ) -> DecodedBlock {
    let count = bodies.count
    for i in run.sinks.indices { run.sinks[i].begin(rows: count) }
    var valid = [Bool](repeating: true, count: count)
    var rejections: [(row: Int, rejection: Rejection)] = []
    let base = UnsafePointer(raw.text.base)
    for row in 0..<count {
      guard unusable[row] == nil, case .avro(let program) = programs[Int(schemas.places[row])] else {
        valid[row] = false
        if let rejection = unusable[row] { rejections.append((row, rejection)) }
        continue
      }
      let start = base + Int(bodies[row].0)
      do { try run.record(StringRef(start: start, count: Int(bodies[row].1)), program, row) } catch {
        valid[row] = false
        for i in run.sinks.indices { run.sinks[i].clear(row) }
        let id = schemas.resolved[Int(schemas.places[row])].id
        rejections.append((row, Rejection(stage: .decode, reason: "\(error.reason) (byte \(error.at - start), schema \(id.text))")))
      }
    }
    let text = [raw.text as any AnyObject & Sendable]
    let columns = run.sinks.indices.map { run.sinks[$0].finish(rows: count, text: text, valid: valid) }
    return DecodedBlock(raw: raw, offset: [], length: [], columns: columns, valid: valid, rejections: rejections)
  }
}

/// Whether records of a JSON Schema can be the declared fields. Only what the schema says plainly is looked at (`properties` with
/// a `type`); each record is decoded by the declared types in any case.
enum JSONSchemaCheck {
  static func check(_ registered: RegisteredSchema, fields: [Field]) throws(SchemaError) {
    guard registered.type == "JSON" else {
      throw SchemaError("it is a schema of type \(SchemaError.shown(registered.type)), and the pipeline reads JSON Schema")
    }
    guard let schema = try? JSONValue(parsing: registered.schema.utf8) else { throw SchemaError("it is not valid JSON") }
    let types = self.types(schema)
    if !types.isEmpty, !types.contains("object") {
      throw SchemaError("a record is \(SchemaError.shown(types.joined(separator: " or "))) there, not an object")
    }
    for field in fields where field.encoding != .rescued {
      guard let property = try property(of: field, in: schema) else { continue }
      let there = self.types(property).filter { $0 != "null" }
      guard field.encoding != .json else { continue }
      let wanted = self.wanted(field)
      if !there.isEmpty, !there.contains(where: wanted.contains) {
        throw SchemaError(
          "\(field.title) is \(SchemaError.shown(there.joined(separator: " or "))) there, which cannot be read as \(field.type.name)")
      }
    }
  }

  /// What the schema says about a field; nil where it says nothing.
  private static func property(of field: Field, in schema: JSONValue) throws(SchemaError) -> JSONValue? {
    var place = schema
    for step in field.steps {
      switch step {
      case .index:
        guard let items = place["items"], items.members != nil else { return nil }
        place = items
      case .name(let name):
        guard let properties = place["properties"]?.members else { return nil }
        guard let next = properties.last(where: { $0.name == name })?.value else {
          if field.required, place["additionalProperties"]?.bool == false {
            throw SchemaError("it has no field \(field.title), which is required")
          }
          return nil
        }
        place = next
      }
    }
    return place
  }

  private static func types(_ schema: JSONValue) -> [String] {
    schema["type"]?.array?.compactMap(\.string) ?? schema["type"]?.string.map { [$0] } ?? []
  }

  private static func wanted(_ field: Field) -> [String] {
    switch field.type {
    case .bool: ["boolean"]
    case .string, .binary: ["string"]
    case .int64, .double, .decimal: ["integer", "number"]
    case .timestamp: field.encoding == .natural ? ["string"] : ["integer", "number"]
    case .list: ["array"]
    case .structure, .map: ["object"]
    }
  }
}
