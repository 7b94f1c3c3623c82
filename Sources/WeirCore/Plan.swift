/// A compiled pipeline: one typed value, whatever front door it came through. Every name is resolved.
public struct Plan: Sendable, Hashable, Codable {
  public var pipeline: String
  public var source: SourceSpec
  public var record: RecordSpec
  public var checks: [Check]
  public var quarantine: QuarantineSpec
  public var dedup: DedupSpec?
  public var lookups: [LookupSpec]
  /// What expressions may refer to: `Expr` columns are indexes into this. First the declared fields in their order,
  /// then the columns of each lookup, then the system columns.
  public var inputs: [InputColumn]
  public var bronze: BronzeSpec?
  public var silver: SilverSpec?
  /// nil: no silver table has a name of its own.
  public var silverTables: [SilverTable]?
  public var gold: [GoldSpec]
  public var state: [StateSpec]
  public var lake: LakeSpec
  public var store: StoreSpec
  /// nil: a live worker has no admin server.
  public var admin: AdminSpec?
  /// nil: as ``WorkerSpec/init()`` has it.
  public var worker: WorkerSpec?
  /// nil: no topics.
  public var sinks: SinkSpec?
  /// nil: the tables are registered nowhere.
  public var catalog: CatalogSpec?
  /// nil: there is one input, as in every plan that runs so far.
  public var severalInputs: SeveralInputs?

  public init(
    pipeline: String, source: SourceSpec, record: RecordSpec, checks: [Check] = [], quarantine: QuarantineSpec = .init(),
    dedup: DedupSpec? = nil, lookups: [LookupSpec] = [], inputs: [InputColumn], bronze: BronzeSpec? = nil,
    silver: SilverSpec? = nil, gold: [GoldSpec] = [], state: [StateSpec] = [], lake: LakeSpec = .init(),
    store: StoreSpec = .init(), sinks: SinkSpec? = nil
  ) {
    self.sinks = sinks
    self.pipeline = pipeline
    self.source = source
    self.record = record
    self.checks = checks
    self.quarantine = quarantine
    self.dedup = dedup
    self.lookups = lookups
    self.inputs = inputs
    self.bronze = bronze
    self.silver = silver
    self.gold = gold
    self.state = state
    self.lake = lake
    self.store = store
  }
}

public struct RecordSpec: Sendable, Hashable, Codable {
  public var fields: [Field]
  /// Index of the key field; nil: every record has the null key.
  public var key: Int?
  /// Fields whose value is the key where the one before is null, in this order. nil: there are none.
  public var otherKeys: [Int]?
  public var time: TimeSpec?
  /// nil: the format of a plan that names none.
  public var format: FormatSpec?
  /// Of a format whose records carry the ids of schemas.
  public var registry: RegistrySpec?
  /// What becomes of blank lines of a plain capture. nil: they are skipped and counted.
  public var blankLines: BlankLines?
  /// The path of an array within what the source stores as one record: each of its elements is a record. Empty: the whole is the array.
  /// nil: a record is what the source stores.
  public var each: [PathStep]?
  /// What surrounds each record. nil: nothing.
  public var envelope: Envelope?
  /// What becomes of records without a value. nil: they are quarantined.
  public var tombstones: Tombstones?
  /// nil: all records are of one kind.
  public var route: RouteSpec?

  public enum BlankLines: String, Sendable, Hashable, Codable, CaseIterable { case skip, quarantine }

  public enum Envelope: String, Sendable, Hashable, Codable, CaseIterable {
    /// `{"schema": …, "payload": …}` of Kafka Connect's JSON converter, where a record has both; else nothing.
    case connect
  }

  /// What becomes of members that no field reads. Not in the plan, whose field ``Field/rescued`` says it.
  public enum UnknownFields: String, Sendable, Hashable, Codable, CaseIterable { case ignore, rescue }

  public enum Tombstones: String, Sendable, Hashable, Codable, CaseIterable { case quarantine, drop }

  /// The place of ``Field/rescued``; nil: what no field reads is not kept.
  public var rescued: Int? { fields.firstIndex { $0.encoding == .rescued } }

  /// All fields of the key, in their order.
  public var keys: [Int] { (key.map { [$0] } ?? []) + (otherKeys ?? []) }
  /// The field that is the key of every record; nil: there is no such one.
  public var soleKey: Int? { otherKeys == nil ? key : nil }
  /// The key in words; nil: there is none.
  public var keyText: String? { keys.isEmpty ? nil : keys.map { fields[$0].name }.joined(separator: " or ") }

  public init(fields: [Field], key: Int?, time: TimeSpec?, format: FormatSpec? = nil, registry: RegistrySpec? = nil) {
    self.format = format
    self.registry = registry
    self.fields = fields
    self.key = key
    self.time = time
  }
}

public struct TimeSpec: Sendable, Hashable, Codable {
  /// Index of the event-time field.
  public var field: Int
  /// The watermark is the running maximum of event time less this.
  public var outOfOrderMicroseconds: Int64
  /// How far an event time may be ahead, by the guard against wrong clocks; nil: its default, `Int64.max`: off. A record beyond it is
  /// quarantined; in a capture only where this is set, else it does not count towards the watermark.
  public var maxAheadMicroseconds: Int64?

  public init(field: Int, outOfOrderMicroseconds: Int64, maxAheadMicroseconds: Int64? = nil) {
    self.field = field
    self.outOfOrderMicroseconds = outOfOrderMicroseconds
    self.maxAheadMicroseconds = maxAheadMicroseconds
  }
}

public struct Check: Sendable, Hashable, Codable {
  public enum Otherwise: String, Sendable, Hashable, Codable { case quarantine, drop, fail }
  public var name: String
  /// Fails a record only where it is false; null passes.
  public var that: Expr
  public var otherwise: Otherwise
  /// The kind of records that it is of, by its number; nil: all records.
  public var kind: Int?

  public init(name: String, that: Expr, otherwise: Otherwise = .quarantine, kind: Int? = nil) {
    self.name = name
    self.that = that
    self.otherwise = otherwise
    self.kind = kind
  }
}

public struct QuarantineSpec: Sendable, Hashable, Codable {
  /// Stops the worker when more than this share (0...1) of an epoch's records is quarantined; nil only counts.
  /// With 1 also a stream of which all records are rejected goes through; else such a one is stopped at its beginning.
  public var haltAbove: Double?
  /// A finished replay exits with 3 when more than this share (0...1) of the ledger's records is quarantined; nil:
  /// ``exitAboveByDefault``.
  public var exitAbove: Double?
  public static let exitAboveByDefault = 0.5

  public init(haltAbove: Double? = nil, exitAbove: Double? = nil) {
    self.haltAbove = haltAbove
    self.exitAbove = exitAbove
  }

  /// Whether a ledger with these totals makes a finished replay exit with 3.
  public func isTooMuch(_ quarantined: Int64, of input: Int64) -> Bool {
    Double(quarantined) > (exitAbove ?? QuarantineSpec.exitAboveByDefault) * Double(input)
  }
}

public struct DedupSpec: Sendable, Hashable, Codable {
  /// Index of the id field. A duplicate has the same key and id.
  public var id: Int
  /// Further fields of the id. nil: there are none.
  public var otherIDs: [Int]?
  /// nil: for ever.
  public var withinMicroseconds: Int64?
  /// All fields of the id, in their order.
  public var ids: [Int] { [id] + (otherIDs ?? []) }

  public init(id: Int, withinMicroseconds: Int64?) {
    self.id = id
    self.withinMicroseconds = withinMicroseconds
  }
}

public struct LookupSpec: Sendable, Hashable, Codable {
  public var name: String
  /// As written; relative to the pipeline file.
  public var file: String
  /// What the file is, where it is not CSV. Not part of the plan's meaning.
  public var format: String?
  /// Index of the record's field that is looked up, and the CSV column of the same name.
  public var key: Int
  /// All columns of the CSV but the key, in its order.
  public var columns: [ColumnSchema]
  /// How often a live worker looks for another version of the file; nil: only when it starts. Not part of the plan's meaning.
  public var refreshMicroseconds: Int64?
  public init(
    name: String, file: String, format: String? = nil, key: Int, columns: [ColumnSchema], refreshMicroseconds: Int64? = nil
  ) {
    self.name = name
    self.file = file
    self.format = format
    self.key = key
    self.columns = columns
    self.refreshMicroseconds = refreshMicroseconds
  }
}

/// A column that expressions may use.
public struct InputColumn: Sendable, Hashable, Codable {
  public enum Origin: Sendable, Hashable, Codable {
    case field(Int)
    /// Column `column` of ``LookupSpec/columns`` of lookup number `lookup`.
    case lookup(lookup: Int, column: Int)
    case system(SystemColumn)
    /// Of the rows of one table that has a row an element, and not of `Plan.inputs`.
    case exploded
    /// Of other kinds of records than an expression is about: it cannot be named. Not of `Plan.inputs`.
    case hidden
  }
  /// As written in expressions: `amount`, `campaigns.campaign_id`, `_arrival`.
  public var name: String
  public var type: ColumnType
  public var nullable: Bool
  public var origin: Origin
  public init(name: String, type: ColumnType, nullable: Bool, origin: Origin) {
    self.name = name
    self.type = type
    self.nullable = nullable
    self.origin = origin
  }
}

public enum SystemColumn: String, Sendable, Hashable, Codable, CaseIterable {
  /// When the record arrived (timestamp): as recorded, or as `_source` says.
  case arrival = "_arrival"
  /// Position in the shard (int64).
  case position = "_position"
  /// The shard's name (string).
  case shard = "_shard"
  /// The name of the record's kind (string); only where there are several kinds.
  case kind = "_kind"
}

/// `expr as name`.
public struct OutputColumn: Sendable, Hashable, Codable {
  public var name: String
  public var expr: Expr
  public init(name: String, expr: Expr) {
    self.name = name
    self.expr = expr
  }
}

/// One column of `partition_by`: a column as it is, or a part of a timestamp (UTC).
public struct PartitionColumn: Sendable, Hashable, Codable {
  public enum Transform: String, Sendable, Hashable, Codable {
    /// Values by type: a string as it is, others as SQL text.
    case identity
    /// `2026`, `2026-01`, `2026-01-31`, `2026-01-31-23` (string columns).
    case year, month, day, hour
  }
  public var transform: Transform
  /// The output column of the table (by name) that it is taken from.
  public var column: String
  /// Its own name in the table: the column's for `identity`, else `column_day` (leading underscores kept).
  public var name: String
  public init(transform: Transform, column: String, name: String) {
    self.transform = transform
    self.column = column
    self.name = name
  }
}

public struct BronzeSpec: Sendable, Hashable, Codable {
  public var partitionBy: [PartitionColumn]
  public init(partitionBy: [PartitionColumn] = []) { self.partitionBy = partitionBy }
}

public struct SilverSpec: Sendable, Hashable, Codable {
  public var columns: [OutputColumn]
  public var partitionBy: [PartitionColumn]
  public init(columns: [OutputColumn], partitionBy: [PartitionColumn] = []) {
    self.columns = columns
    self.partitionBy = partitionBy
  }
}

/// Half-open windows `[start, start + size)`, starts at multiples of `slide` since 1970 plus `offset`.
public struct WindowSpec: Sendable, Hashable, Codable {
  public var sizeMicroseconds: Int64
  /// Equal to the size for tumbling windows.
  public var slideMicroseconds: Int64
  public var offsetMicroseconds: Int64
  public var latenessMicroseconds: Int64
  public init(size: Int64, slide: Int64, offset: Int64 = 0, lateness: Int64 = 0) {
    sizeMicroseconds = size
    slideMicroseconds = slide
    offsetMicroseconds = offset
    latenessMicroseconds = lateness
  }
}

public struct Measure: Sendable, Hashable, Codable {
  /// The name of an aggregate function, in lower case. Which functions there are is known where they are made.
  public struct Function: RawRepresentable, Sendable, Hashable, Codable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public static let count = Function(rawValue: "count")
    public static let sum = Function(rawValue: "sum")
    public static let min = Function(rawValue: "min")
    public static let max = Function(rawValue: "max")
    public static let avg = Function(rawValue: "avg")
  }
  public var name: String
  public var function: Function
  /// nil only for `count()`: rows. `count(x)` counts rows where x is not null; all others skip nulls and are null without a value.
  public var argument: Expr?
  /// count: int64. sum: decimal(38,0) of int64, decimal(38,s) of decimal(p≤28,s), double of double. avg: double. min, max: the argument's.
  public var type: ColumnType
  public init(name: String, function: Function, argument: Expr?, type: ColumnType) {
    self.name = name
    self.function = function
    self.argument = argument
    self.type = type
  }
}

public struct GoldSpec: Sendable, Hashable, Codable {
  /// Columns that every gold table has in addition to those that its section names.
  public static let ownColumns = ["window_start", "window_end", "revision"]
  public var name: String
  /// The kind of records that its rows are made of, by its number; nil: all.
  public var kind: Int?
  /// Rows where it is true (not null, not false).
  public var filter: Expr?
  public var by: [OutputColumn]
  public var window: WindowSpec
  public var measures: [Measure]
  public var partitionBy: [PartitionColumn]
  public init(
    name: String, filter: Expr?, by: [OutputColumn], window: WindowSpec, measures: [Measure],
    partitionBy: [PartitionColumn] = []
  ) {
    self.name = name
    self.filter = filter
    self.by = by
    self.window = window
    self.measures = measures
    self.partitionBy = partitionBy
  }
}

public struct StateSpec: Sendable, Hashable, Codable {
  public var name: String
  /// The kind of records that its rows are made of, by its number; nil: all.
  public var kind: Int?
  public var filter: Expr?
  public var by: [OutputColumn]
  public var measures: [Measure]
  /// Event time after which the row of a key without newer records expires, microseconds; nil: none does.
  public var ttlMicroseconds: Int64?

  public init(name: String, filter: Expr?, by: [OutputColumn], measures: [Measure], ttlMicroseconds: Int64? = nil) {
    self.name = name
    self.filter = filter
    self.by = by
    self.measures = measures
    self.ttlMicroseconds = ttlMicroseconds
  }
}

public enum Codec: String, Sendable, Hashable, Codable { case none, snappy, zstd }

/// Settings, not meaning: the plan hash leaves them out.
public struct LakeSpec: Sendable, Hashable, Codable {
  /// Directory, relative to the pipeline file; or `s3://bucket/prefix`.
  public var path: String
  /// Settings of the store that the lake is in, by its own names; nil: it has none.
  public var store: [String: String]?
  /// Input bytes between cuts. What a cut costs is the state that changed, most often nearly all of it, and two syncs; what it
  /// saves is the memory of the rows that wait for it, and work that a killed worker does again. So a plan with bronze or silver cuts
  /// at ``flushBytesWithRows`` unless it says otherwise, one whose rows are aggregated at once at ``flushBytesWithoutRows``.
  public var flushBytes: Int64
  public static let flushBytesWithRows: Int64 = 40 << 20
  public static let flushBytesWithoutRows: Int64 = 256 << 20
  /// Age of an epoch at which a live worker cuts (a replay does not).
  public var flushEveryMicroseconds: Int64
  public var fileSizeBytes: Int64
  public var codec: Codec
  /// Of the tables; nil: the first that there is.
  public var format: TableFormatSpec?
  /// Age at which ledger entries that a snapshot covers and every follower has applied are collected, microseconds.
  public var ledgerKeepMicroseconds: Int64
  public init(
    path: String = "./lake", flushBytes: Int64 = LakeSpec.flushBytesWithRows, flushEveryMicroseconds: Int64 = 10_000_000,
    fileSizeBytes: Int64 = 128 << 20, codec: Codec = .zstd, ledgerKeepMicroseconds: Int64 = 7 * 86_400_000_000
  ) {
    self.ledgerKeepMicroseconds = ledgerKeepMicroseconds
    self.path = path
    self.flushBytes = flushBytes
    self.flushEveryMicroseconds = flushEveryMicroseconds
    self.fileSizeBytes = fileSizeBytes
    self.codec = codec
  }
}
