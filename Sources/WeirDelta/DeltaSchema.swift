import WeirCore

/// Schemas and statistics as the Delta protocol writes them.
package enum DeltaSchema {
  /// Spark's JSON of a struct.
  package static func text(_ columns: [ColumnSchema]) -> String {
    structure(columns).text
  }

  private static func structure(_ columns: [ColumnSchema]) -> JSONValue {
    let fields = columns.map { column in
      JSONValue.members([
        "name": .string(column.name), "type": type(column.type), "nullable": .bool(column.nullable), "metadata": .object([]),
      ])
    }
    return JSONValue.members(["type": .string("struct"), "fields": .array(fields)])
  }

  private static func type(_ type: ColumnType) -> JSONValue {
    switch type {
    case .bool: .string("boolean")
    case .int64: .string("long")
    case .double: .string("double")
    case .string: .string("string")
    case .binary: .string("binary")
    case .timestamp: .string("timestamp")
    case .decimal(let precision, let scale): .string("decimal(\(precision),\(scale))")
    case .list(let element):
      .members(["type": .string("array"), "elementType": self.type(element), "containsNull": .bool(true)])
    case .map(let value):
      .members([
        "type": .string("map"), "keyType": .string("string"), "valueType": self.type(value), "valueContainsNull": .bool(true),
      ])
    case .structure(let members): structure(members.map { ColumnSchema($0.name, $0.type) })
    }
  }
}

/// A path as it is written in the log: RFC 2396, so `%`, blanks and bytes beyond ASCII are escaped once more.
package func uriEncode(_ path: String) -> String {
  var out: [UInt8] = []
  for byte in path.utf8 {
    let isPlain =
      (byte >= 0x30 && byte <= 0x39) || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || "-_.!~*'()/=:@&$,;".utf8.contains(byte)
    if isPlain { out.append(byte) } else { percentEncode(byte, into: &out) }
  }
  return String(decoding: out, as: UTF8.self)
}

/// Undoes ``uriEncode(_:)``.
package func uriDecode(_ path: String) -> String {
  let bytes = Array(path.utf8)
  var out: [UInt8] = []
  var at = 0
  while at < bytes.count {
    if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count,
      let byte = UInt8(String(decoding: bytes[at + 1...at + 2], as: UTF8.self), radix: 16)
    {
      out.append(byte)
      at += 3
    } else {
      out.append(bytes[at])
      at += 1
    }
  }
  return String(decoding: out, as: UTF8.self)
}

/// `stats` of an add: what readers skip files by.
///
/// A bound that is not certain would hide rows. So would one that is left out: delta-rs gives pyarrow `column >= null` for it as soon
/// as another file of the table has it. So a file has bounds of all columns that hold values, or nothing but its number of rows.
package enum DeltaStats {
  /// Columns with statistics at most (Delta's default).
  private static let columnsMax = 32
  private static let charactersMax = 32

  /// What is known of a column of one file.
  package struct Column {
    package var name: String
    package var nulls: Int64
    /// Values that are not numbers; min and max leave them out.
    package var nans: Int64
    package var min: Literal?
    package var max: Literal?
    /// The largest value begins with ``max``, which has more than 32 characters, and continues after it.
    package var isMaxCut: Bool
    /// No reader has bounds of its type.
    package var isBinary: Bool

    package init(name: String, nulls: Int64, nans: Int64 = 0, min: Literal?, max: Literal?, isMaxCut: Bool = false, isBinary: Bool = false)
    {
      (self.name, self.nulls, self.nans, self.min, self.max) = (name, nulls, nans, min, max)
      (self.isMaxCut, self.isBinary) = (isMaxCut, isBinary)
    }
  }

  package static func json(rows: Int64, columns: [Column]) -> JSONValue {
    var low: [JSONValue.Member] = []
    var high: [JSONValue.Member] = []
    var nulls: [JSONValue.Member] = []
    for column in columns.prefix(columnsMax) {
      nulls.append(.init(column.name, .int(column.nulls)))
      if column.nulls == rows { continue }
      if column.isBinary { continue }
      // Some readers take NaN for the largest number, others for none.
      guard column.nans == 0, let min = column.min.flatMap(lower), let max = column.max.flatMap({ upper($0, isCut: column.isMaxCut) })
      else {
        return JSONValue.members(["numRecords": .int(rows)])
      }
      low.append(.init(column.name, min))
      high.append(.init(column.name, max))
    }
    return JSONValue.members(["numRecords": .int(rows), "minValues": .object(low), "maxValues": .object(high), "nullCount": .object(nulls)])
  }

  private static func lower(_ v: Literal) -> JSONValue? {
    switch v {
    case .string(let s): .string(String(String.UnicodeScalarView(s.unicodeScalars.prefix(charactersMax))))
    case .timestamp(let t): timestamp(milliseconds: CivilTime.floorDivide(t, 1000))
    default: number(v)
    }
  }

  private static func upper(_ v: Literal, isCut: Bool) -> JSONValue? {
    switch v {
    case .string(let s):
      let scalars = s.unicodeScalars
      if scalars.count <= charactersMax { return isCut ? nil : .string(s) }
      // Cut, then a code point that is at least as large as the one cut off (field notes 21).
      var cut = Array(scalars.prefix(charactersMax))
      let next = scalars[scalars.index(scalars.startIndex, offsetBy: charactersMax)]
      if next.value < 0x10FFFF {
        cut.append(next.value < 0x7F ? "\u{7F}" : "\u{10FFFF}")
      } else if let last = cut.lastIndex(where: { $0.value < 0x10FFFF }) {
        // Nothing is above the largest code point: the one before it is raised instead.
        cut[last...] = [Unicode.Scalar(cut[last].value == 0xD7FF ? 0xE000 : cut[last].value + 1) ?? "\u{10FFFF}"]
      } else {
        return isCut ? nil : .string(s)
      }
      var view = String.UnicodeScalarView()
      view.append(contentsOf: cut)
      return .string(String(view))
    case .timestamp(let t): return timestamp(milliseconds: CivilTime.floorDivide(t, 1000) + (t % 1000 == 0 ? 0 : 1))
    default: return number(v)
    }
  }

  /// - Returns: nil outside of the years 1 to 9999, which no reader's text has.
  private static func timestamp(milliseconds: Int64) -> JSONValue? {
    // From 0001-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
    guard (-62_135_596_800_000...253_402_300_799_999).contains(milliseconds) else { return nil }
    // Milliseconds are always written, as Spark does.
    let text = CivilTime.text(ofMicroseconds: milliseconds * 1000)
    return .string(text.contains(".") ? text : String(text.dropLast()) + ".000Z")
  }

  private static func number(_ v: Literal) -> JSONValue? {
    switch v {
    // delta-rs takes a column without bounds for one without matching rows.
    case .bool(let b): .bool(b)
    case .int64(let i): .int(i)
    case .double(let d): d.isFinite ? .number("\(d)") : nil
    case .decimal(let d, _, let scale): .number(DecimalText.text(d, scale: scale))
    default: nil
    }
  }
}
