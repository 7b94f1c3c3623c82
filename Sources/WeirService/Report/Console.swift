import Foundation
import WeirCore

/// The two ways out: data on standard output, talk on standard error.
public struct Console: Sendable {
  public init() {}

  /// Data: a line on standard output.
  public func data(_ line: String) { Console.write(line + "\n", to: 1) }

  /// Talk: a line on standard error.
  public func talk(_ line: String) { Console.write(line + "\n", to: 2) }

  /// Overwrites the line at hand on standard error: a progress bar. Only for a terminal.
  public func status(_ line: String) { Console.write("\r\u{1B}[2K" + line, to: 2) }

  public var isTerminal: Bool { isatty(2) == 1 }

  private static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let n = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if n < 0, errno == EINTR || errno == EAGAIN { continue }
      guard n > 0 else { return }  // nobody reads any more: a closed pipe is no reason to stop a pipeline
      bytes = bytes.dropFirst(n)
    }
  }
}

/// Numbers for people.
enum Human {
  /// `336,776`
  static func count(_ n: Int64) -> String {
    var digits = Array(String(n.magnitude))
    var at = digits.count - 3
    while at > 0 {
      digits.insert(",", at: at)
      at -= 3
    }
    return (n < 0 ? "-" : "") + String(digits)
  }

  static func rate(_ perSecond: Double) -> String {
    if perSecond >= 1e6 { return fixed(perSecond / 1e6, 2) + " M/s" }
    if perSecond >= 1e3 { return fixed(perSecond / 1e3, 0) + " k/s" }
    return fixed(perSecond, 0) + " /s"
  }

  static func bytes(_ n: Int64) -> String {
    var value = Double(n)
    for unit in ["B", "KiB", "MiB", "GiB"] {
      if value < 1024 { return fixed(value, unit == "B" ? 0 : 1) + " " + unit }
      value /= 1024
    }
    return fixed(value, 1) + " TiB"
  }

  static func seconds(_ s: Double) -> String {
    if s < 60 { return fixed(s, 1) + " s" }
    return "\(Int(s) / 60)m\(String(format: "%02d", Int(s) % 60))s"
  }

  static func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
}

/// Rows as an aligned text table, CSV (RFC 4180) or JSON lines.
public enum RowFormat: String, Sendable, CaseIterable { case table, csv, json }

struct RowPrinter {
  let format: RowFormat
  let console: Console

  /// Values as ``ValueText`` gives them; `raw` values go into JSON as they are.
  func print(columns: [String], rows: [[JSONValue]]) {
    switch format {
    case .json:
      for row in rows {
        console.data(JSONValue.object(zip(columns, row).map { JSONValue.Member($0, $1) }).text)
      }
    case .csv:
      console.data(columns.map(RowPrinter.csv).joined(separator: ","))
      for row in rows { console.data(RowPrinter.csvLine(row)) }
    case .table: table(columns, rows.map { $0.map { $0.isNull ? "–" : RowPrinter.text($0) } })
    }
  }

  private func table(_ columns: [String], _ rows: [[String]]) {
    var width = columns.map(\.count)
    for row in rows { for (i, cell) in row.enumerated() { width[i] = max(width[i], min(cell.count, 48)) } }
    func line(_ cells: [String]) -> String {
      cells.enumerated().map { i, cell in cell.padding(toLength: max(width[i], 1), withPad: " ", startingAt: 0) }
        .joined(separator: "  ")
    }
    console.data(line(columns))
    console.data(width.map { String(repeating: "─", count: $0) }.joined(separator: "  "))
    for row in rows { console.data(line(row)) }
  }

  private static func text(_ value: JSONValue) -> String {
    switch value {
    case .null: ""
    case .string(let s): s
    default: value.text
    }
  }

  /// As in lookup files: null is an empty field, the empty text is quoted.
  static func csvLine(_ row: [JSONValue]) -> String {
    row.map { $0 == .string("") ? "\"\"" : csv(text($0)) }.joined(separator: ",")
  }

  private static func csv(_ cell: String) -> String {
    // By code points: a comma with a combining mark is a comma to every reader of CSV.
    guard cell.unicodeScalars.contains(where: { [",", "\"", "\n", "\r"].contains($0) }) else { return cell }
    var quoted = "\"".unicodeScalars
    for scalar in cell.unicodeScalars {
      if scalar == "\"" { quoted.append(scalar) }
      quoted.append(scalar)
    }
    return String(quoted) + "\""
  }
}

/// One value for output.
enum ValueText {
  static func json(_ value: Literal) -> JSONValue {
    switch value {
    case .null: .null
    case .bool(let v): .bool(v)
    case .int64(let v): .int(v)
    case .double(let v): v.isFinite ? .number("\(v)") : .string("\(v)")
    case .decimal(let v, _, let scale): .number(DecimalText.text(v, scale: scale))
    case .string(let v): .string(v)
    case .binary(let v): .string(String(validating: v, as: UTF8.self) ?? Data(v).base64EncodedString())
    case .timestamp(let t): .string(CivilTime.text(ofMicroseconds: t))
    }
  }
}
