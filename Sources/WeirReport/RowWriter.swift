import Foundation
import WeirCore

/// Rows as an aligned text table, CSV (RFC 4180) or JSON lines.
package enum RowFormat: String, Sendable, CaseIterable { case table, csv, json }

/// Writes rows as they come: what it holds does not grow with their number. The widths of a text table are those of its first rows.
package struct RowWriter {
  /// Bytes that are collected before they are written.
  private static let chunk = 1 << 16
  /// Rows that decide the widths of a text table, and the widest column that it makes, in characters.
  private static let sample = 1000
  private static let widest = 48

  private let format: RowFormat
  private let console: Console
  private let columns: [String]
  private var out: [UInt8] = []
  /// A text table's rows until the widths are known.
  private var first: [[String]] = []
  private var widths: [Int] = []

  package init(_ columns: [String], format: RowFormat, console: Console) {
    self.format = format
    self.console = console
    self.columns = columns
    out.reserveCapacity(RowWriter.chunk + 4096)
    if format == .csv {
      out += columns.map(CSVText.field).joined(separator: ",").utf8
      out.append(UInt8(ascii: "\n"))
    }
  }

  /// - Parameter more: members of this row's JSON that are no columns.
  /// - Throws: `output` when nothing can be written any more.
  package mutating func add(_ row: [Literal], json more: [JSONValue.Member] = []) throws(WeirError) {
    switch format {
    case .csv: CSVText.append(row, to: &out)
    case .json:
      let members = zip(columns, row).map { JSONValue.Member($0, ValueText.json($1)) }
      out += JSONValue.object(members + more).text.utf8
    case .table:
      let cells = row.map { $0 == .null ? "–" : TerminalText.inline(ValueText.text($0)) }
      guard !widths.isEmpty else {
        first.append(cells)
        if first.count >= RowWriter.sample { try beginTable() }
        return
      }
      return try line(cells)
    }
    try endLine()
  }

  /// Writes what is left. Nothing may be added after it.
  package mutating func finish() throws(WeirError) {
    if format == .table, widths.isEmpty { try beginTable() }
    write()
    out = []
    try console.check()
  }

  private func write() { format == .json ? console.json(out) : console.data(out) }

  private mutating func endLine() throws(WeirError) {
    out.append(UInt8(ascii: "\n"))
    guard out.count >= RowWriter.chunk else { return }
    write()
    try console.check()
    out.removeAll(keepingCapacity: true)
  }

  private mutating func beginTable() throws(WeirError) {
    widths = columns.map { max(TerminalText.inline($0).count, 1) }
    for row in first { for (i, cell) in row.enumerated() { widths[i] = max(widths[i], min(cell.count, RowWriter.widest)) } }
    try line(columns.map(TerminalText.inline))
    try line(widths.map { String(repeating: "─", count: $0) })
    for row in first { try line(row) }
    first = []
  }

  private mutating func line(_ cells: [String]) throws(WeirError) {
    for (i, cell) in cells.enumerated() {
      if i > 0 { out += [UInt8(ascii: " "), UInt8(ascii: " ")] }
      out += cell.utf8
      out += [UInt8](repeating: UInt8(ascii: " "), count: max(0, widths[i] - cell.count))
    }
    try endLine()
  }
}

/// Values in CSV, as in lookup files: null is an empty field, the empty text is quoted.
enum CSVText {
  static func append(_ row: [Literal], to out: inout [UInt8]) {
    for (i, value) in row.enumerated() {
      if i > 0 { out.append(UInt8(ascii: ",")) }
      switch value {
      case .null: continue
      case .int64(let v): DecimalText.append(v, to: &out)
      case .decimal(let v, _, let scale): DecimalText.append(v, scale: scale, to: &out)
      case .string(""): out += [UInt8(ascii: "\""), UInt8(ascii: "\"")]
      case .string(let v): append(v, to: &out)
      default: append(ValueText.text(value), to: &out)
      }
    }
  }

  static func field(_ text: String) -> String {
    var out: [UInt8] = []
    append(text, to: &out)
    return String(decoding: out, as: UTF8.self)
  }

  /// By bytes: a comma with a combining mark is a comma to every reader of CSV.
  private static func append(_ text: String, to out: inout [UInt8]) {
    let quote = UInt8(ascii: "\"")
    guard text.utf8.contains(where: { $0 == quote || $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") })
    else { return out.append(contentsOf: text.utf8) }
    out.append(quote)
    for byte in text.utf8 {
      if byte == quote { out.append(quote) }
      out.append(byte)
    }
    out.append(quote)
  }
}

/// One value for output.
package enum ValueText {
  package static func json(_ value: Literal) -> JSONValue {
    switch value {
    case .null: .null
    case .bool(let v): .bool(v)
    case .int64(let v): .int(v)
    case .double(let v): v.isFinite ? .number("\(v)") : .string("\(v)")
    case .decimal(let v, _, let scale): .number(DecimalText.text(v, scale: scale))
    case .string, .binary, .timestamp: .string(text(value))
    }
  }

  /// Null is the empty text.
  static func text(_ value: Literal) -> String {
    switch value {
    case .null: ""
    case .bool(let v): v ? "true" : "false"
    case .int64(let v): String(v)
    case .double(let v): "\(v)"
    case .decimal(let v, _, let scale): DecimalText.text(v, scale: scale)
    case .string(let v): v
    case .binary(let v): String(validating: v, as: UTF8.self) ?? Data(v).base64EncodedString()
    case .timestamp(let t): CivilTime.text(ofMicroseconds: t)
    }
  }
}
