import Glibc
import WeirCore

/// What a directory is that was named as a capture file, and what to name instead.
package enum CaptureDirectory {
  static func refusal(_ path: String) -> WeirError {
    let inside = names(in: path, atMost: 64) ?? []
    // Of the path as it is, whatever it is called by.
    let parts = resolved(path).split(separator: "/").map { String($0) }
    if let found = tables(path, parts: parts, inside: inside, holds: { access(path + "/" + $0, F_OK) == 0 }) { return found }
    if inside.isEmpty {
      return WeirError(.config, "the capture \(path) is an empty directory", advice: "Name the files of the capture.")
    }
    if let file = inside.sorted().first(where: { isOtherFormat(path + "/" + $0) }) {
      return WeirError(
        .captureFormat, "the capture \(path) is a directory with files that hold no records, such as \(file)",
        advice: "Name files of records, plain, gzip or zstd.")
    }
    return WeirError(.config, "the capture \(path) is a directory", advice: "Name the files in it: \(path)/*")
  }

  /// The place is one of tables, or of a lake, by the names in it; nil: it is not.
  /// - Parameters:
  ///   - parts: of the path.
  ///   - inside: some of the names in it.
  ///   - holds: whether a path below it is there.
  package static func tables(_ path: String, parts: [String], inside: [String], holds: (String) -> Bool) -> WeirError? {
    switch true {
    case holds("_delta_log"):
      return WeirError(
        .captureFormat, "the capture \(path) is a Delta table, and the replay of a table is not possible yet",
        advice:
          "Replay the capture that the table was made from. Or export its rows as JSON, one object per line, and replay that file: of a bronze table the column value in the order of _position, of another table all columns."
      )
    case holds("_weir"), holds("bronze"), holds("silver"), holds("gold"):
      return WeirError(
        .captureFormat, "the capture \(path) is a lake, and the replay of a lake is not possible yet",
        advice: "Replay the capture that the lake was made from: its files, or \(.captureDirectory).")
    case holds("metadata/version-hint.text"):
      return WeirError(
        .captureFormat, "the capture \(path) is an Iceberg table, and not JSON lines",
        advice: "Export its rows as JSON, one object per line, and replay that file.")
    case parts.contains("_weir"):
      return WeirError(
        .captureFormat, "the capture \(path) is part of a lake's ledger, and has no records",
        advice: "Replay the capture that the lake was made from: its files, or \(.captureDirectory).")
    case parts.contains("_delta_log"), inside.contains(where: { holds($0 + "/_delta_log") }):
      return WeirError(
        .captureFormat,
        "the capture \(path) is \(parts.contains("_delta_log") ? "the log of a Delta table" : "a directory of Delta tables"), and the replay of a table is not possible yet",
        advice: "Replay the capture that the tables were made from: its files, or \(.captureDirectory).")
    default: return nil
    }
  }

  private static func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }

  private static func isOtherFormat(_ path: String) -> Bool {
    var info = stat()
    guard stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFREG else { return false }
    do throws(WeirError) { _ = try CaptureBytes(try CaptureFile(path), CaptureContent("records", .text)) } catch {
      return error.code == .captureFormat
    }
    return false
  }

  /// Names that do not begin with a dot; nil if the directory cannot be read.
  private static func names(in path: String, atMost count: Int) -> [String]? {
    guard let handle = opendir(path) else { return nil }
    defer { closedir(handle) }
    var names: [String] = []
    while names.count < count, let item = readdir(handle) {
      let name = withUnsafePointer(to: &item.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }
}
