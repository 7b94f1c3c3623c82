import Foundation
import Testing
import WeirCore
import WeirParquet

/// The other readers of Parquet: Tests/EndToEnd/oracle/parquet_check.py run over a folder of files.
enum Oracle {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// `WEIR_PYTHON`, or the environment that Scripts/setup makes.
  static var python: String? {
    let given = ProcessInfo.processInfo.environment["WEIR_PYTHON"]
    let made = root.appendingPathComponent(".build/venv/bin/python3").path
    return [given, made].compactMap(\.self).first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Fails the test with what the checker prints, unless every file is right.
  static func check(_ folder: URL) throws { try run("parquet_check.py", folder) }

  /// Runs a script of Tests/EndToEnd/oracle over a folder; fails the test with what it prints, unless it succeeds.
  static func run(_ script: String, _ folder: URL) throws {
    let python = try #require(python, "no Python with the other readers: run Scripts/setup or set WEIR_PYTHON")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: python)
    process.arguments = [root.appendingPathComponent("Tests/EndToEnd/oracle/\(script)").path, folder.path]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(text)")
  }

  /// Runs `body` with a fresh folder that is removed after it.
  static func withFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-parquet-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
  }
}

/// What a file must hold, as the checker reads it: made from the literals alone.
struct Sidecar {
  var text = ""

  static func text(_ value: Literal?) -> String {
    switch value {
    case nil, .null: "null"
    case .bool(let v): v ? "true" : "false"
    case .int64(let v), .timestamp(let v): "\"\(v)\""
    case .double(let v): "\"\(v.bitPattern)\""
    case .decimal(let v, _, _): "\"\(v)\""
    case .string(let v): "\"\(hex(Array(v.utf8)))\""
    case .binary(let v): "\"\(hex(v))\""
    }
  }

  static func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var out: [UInt8] = []
    for byte in bytes {
      out.append(digits[Int(byte >> 4)])
      out.append(digits[Int(byte & 15)])
    }
    return String(decoding: out, as: UTF8.self)
  }

  init(
    _ table: RandomTable, statistics: [ColumnStatistics], groups: [Int]?, leastGroups: Int = 0, mixed: Bool = false,
    delta: Bool
  ) {
    var columns: [String] = []
    for (i, schema) in table.schema.enumerated() {
      let values = table.values[i].map(Sidecar.text).joined(separator: ",")
      let s = statistics[i]
      columns.append(
        """
        {"name":"\(schema.name)","type":"\(schema.type.name)","nullable":\(schema.nullable),"values":[\(values)],
        "statistics":{"nulls":\(s.nullCount),"nans":\(s.nanCount),
        "min":\(Sidecar.text(s.min)),"max":\(Sidecar.text(s.max))}}
        """)
    }
    let sizes = groups.map { "[\($0.map(String.init).joined(separator: ","))]" } ?? "null"
    text = """
      {"rows":\(table.rows),"groups":\(sizes),"least_groups":\(leastGroups),"delta":\(delta),"mixed":\(mixed),
      "columns":[\(columns.joined(separator: ","))]}
      """
  }
}
