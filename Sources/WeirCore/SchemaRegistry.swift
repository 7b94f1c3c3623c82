/// How to reach a schema registry: a setting, no part of the plan's meaning. Secrets are named, never held.
public struct RegistrySpec: Sendable, Hashable, Codable {
  public enum Identity: Sendable, Hashable, Codable {
    case basic(user: SecretSpec, password: SecretSpec)
    case bearer(SecretSpec)
  }

  /// Without a slash at its end.
  public var url: String
  public var identity: Identity?
  public var tls: TLSSpec?

  public init(url: String) { self.url = url }
}

/// What a record says of the schema that it was written with.
public enum SchemaID: Sendable, Hashable, Comparable {
  /// Of one registry.
  case number(UInt32)
  /// The same in all registries, lower case with hyphens.
  case guid(String)

  /// `7`, or the GUID: also the name of the file that keeps its schema.
  public var text: String {
    switch self {
    case .number(let number): String(number)
    case .guid(let guid): guid
    }
  }
}

/// A schema as a registry has it. Immutable there: an id never means another schema.
public struct RegisteredSchema: Sendable, Hashable {
  /// A schema that the schema refers to by a name.
  public struct Reference: Sendable, Hashable {
    public var name: String
    public var schema: String

    public init(name: String, schema: String) {
      self.name = name
      self.schema = schema
    }
  }

  /// `AVRO`, `JSON`, `PROTOBUF`.
  public var type: String
  public var schema: String
  /// Each before those that refer to it.
  public var references: [Reference]

  public init(type: String, schema: String, references: [Reference] = []) {
    self.type = type
    self.schema = schema
    self.references = references
  }
}

/// Where schemas are asked for by their ids. Errors are ``WeirError``s: retriable while the registry is unreachable.
public protocol SchemaRegistry: Sendable {
  /// nil: the registry has no such id.
  func schema(_ id: SchemaID) async throws -> RegisteredSchema?
}

/// The registry as the engine gets it (law 8).
public struct RegistryEnvironment: Sendable {
  public var registry: any SchemaRegistry
  /// Called with a failure that passes by itself: an unreachable registry.
  public var tell: @Sendable (WeirError) -> Void

  public init(registry: any SchemaRegistry, tell: @escaping @Sendable (WeirError) -> Void) {
    self.registry = registry
    self.tell = tell
  }
}

/// The schemas of the ids in a block's records: all that decoding it needs besides its bytes. Immutable.
public final class BlockSchemas: Sendable {
  public enum Resolved: Sendable {
    case known(SchemaID, RegisteredSchema)
    case unknown(SchemaID)

    public var id: SchemaID {
      switch self {
      case .known(let id, _), .unknown(let id): id
      }
    }
  }

  /// Of each record: its place in ``resolved``; -1: it names none.
  public let places: [Int32]
  /// Of each record: the bytes before its body.
  public let prefixes: [UInt8]
  public let resolved: [Resolved]

  public init(places: [Int32], prefixes: [UInt8], resolved: [Resolved]) {
    precondition(places.count == prefixes.count, "one of each per record")
    self.places = places
    self.prefixes = prefixes
    self.resolved = resolved
  }

  /// The same of some of the records.
  public func taking(_ records: [UInt32]) -> BlockSchemas {
    BlockSchemas(places: places.gathered(records), prefixes: prefixes.gathered(records), resolved: resolved)
  }
}
