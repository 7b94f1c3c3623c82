/// A file of AWS profiles: sections with keys. Reads what botocore reads (Python's `configparser`).
///
///     [profile dev]
///     region = eu-central-1        # keys in any case; `=` or `:`; a comment only at the start of a line
///     s3 =
///       addressing_style = path    lines that are indented further continue the value
struct SharedConfigFile {
  typealias Keys = [String: String]

  /// Names of sections, in the order of the file.
  private(set) var names: [String] = []
  private var sections: [String: Keys] = [:]

  /// - Parameter place: the file's path, for errors. These never show a line: it may be a secret.
  init(_ bytes: [UInt8], place: String) throws(AWSFailure) {
    var section: String?
    var key: String?
    var indent = 0
    for (number, line) in SharedConfigFile.lines(bytes).enumerated() {
      let text = line.trimmed
      if text.hasPrefix("#") || text.hasPrefix(";") { continue }
      if text.isEmpty {
        if let key, let section { sections[section]?[key]? += "\n" }
        continue
      }
      let depth = line.prefix(while: \.isBlank).count
      if let key, let section, depth > indent {
        sections[section]?[key]? += "\n" + text
        continue
      }
      indent = depth
      key = nil
      if text.hasPrefix("["), let end = text.lastIndex(of: "]"), text.index(after: text.startIndex) < end {
        // A section that is there already is continued.
        let name = String(text[text.index(after: text.startIndex)..<end])
        if sections[name] == nil {
          names.append(name)
          sections[name] = [:]
        }
        section = name
      } else {
        key = try set(text, in: section, "\(place), line \(number + 1)")
      }
    }
    sections = sections.mapValues { $0.mapValues { String($0.trimmedEnd) } }
  }

  /// The keys of a section; nil: there is none.
  func keys(_ name: String) -> Keys? { sections[name] }

  /// `key = value` lines within a value.
  static func nested(_ value: String) -> Keys {
    guard value.hasPrefix("\n") else { return [:] }
    var keys: Keys = [:]
    for line in value.split(separator: "\n") {
      guard let mark = line.firstIndex(of: "=") else { continue }
      keys[String(line[..<mark].trimmed)] = String(line[line.index(after: mark)...].trimmed)
    }
    return keys
  }

  // MARK: Lines

  private static func lines(_ bytes: [UInt8]) -> [Substring] {
    let text = String(decoding: bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...], as: UTF8.self)
    return text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" || $0 == "\r" }
  }

  private mutating func set(_ line: Substring, in section: String?, _ place: String) throws(AWSFailure) -> String {
    guard let section else { throw .configuration("\(place): a key before the first [section]") }
    guard let mark = line.firstIndex(where: { $0 == "=" || $0 == ":" }), mark > line.startIndex else {
      throw .configuration("\(place): neither a [section] nor KEY = VALUE")
    }
    let key = line[..<mark].trimmed.lowercased()
    sections[section, default: [:]][key] = String(line[line.index(after: mark)...].trimmed)
    return key
  }
}

extension Character {
  fileprivate var isBlank: Bool { self == " " || self == "\t" || self == "\u{0C}" || self == "\u{0B}" }
}

extension StringProtocol where SubSequence == Substring {
  fileprivate var trimmedEnd: Substring {
    var end = endIndex
    while end > startIndex, self[index(before: end)].isWhitespace { end = index(before: end) }
    return self[startIndex..<end]
  }

  fileprivate var trimmed: Substring { drop(while: \.isWhitespace).trimmedEnd }
}
