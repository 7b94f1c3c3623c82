import Glibc
import Synchronization
import WeirCore

/// A zone of the machine's time zone database: from local times to UTC.
///
/// A local time that exists twice (clocks go back) is the earlier one; one that does not exist (clocks go forward) is read with the offset
/// before the change, so 02:30 becomes 03:30. Source of the format: RFC 8536 (TZif), POSIX for the rule of the years after the table.
package final class ZoneRules: Sendable {
  /// Seconds on the local clock from which an offset applies, ascending.
  let starts: [Int64]
  /// Seconds east of Greenwich: before the first start, then one each.
  let offsets: [Int64]

  init(starts: [Int64], offsets: [Int64]) { (self.starts, self.offsets) = (starts, offsets) }

  private static let directories = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"]
  /// A zone's file.
  static let fileBytesMax = 1 << 20
  private static let known = Mutex<[String: ZoneRules]>([:])

  /// - Parameter name: `Europe/Berlin`, `UTC`.
  /// - Returns: nil: the database has no such zone. It is read once.
  package static func named(_ name: String) -> ZoneRules? {
    guard isName(name) else { return nil }
    if let rules = known.withLock({ $0[name] }) { return rules }
    let isUTC = name == "UTC" || name == "Etc/UTC"
    let file = directories.lazy.compactMap { read("\($0)/\(name)") }.first
    guard let rules = isUTC ? ZoneRules(starts: [], offsets: [0]) : file.flatMap(ZoneRules.init(file:)) else { return nil }
    return known.withLock { zones in
      if zones.count < 1000 { zones[name] = rules }
      return rules
    }
  }

  /// What a name of the database is that is no zone for records: it would depend on the machine, or count leap seconds; nil: it may be one.
  package static func otherKind(_ name: String) -> String? {
    if ["localtime", "posixrules"].contains(name) { return "the zone of this machine, and another one elsewhere" }
    if name.hasPrefix("right/") { return "a zone that counts leap seconds" }
    return name == "Factory" ? "a placeholder of machines without a zone" : nil
  }

  /// Words with slashes between them, without a way out of the database's directory.
  private static func isName(_ name: String) -> Bool {
    guard !name.isEmpty, name.utf8.count <= 64, !name.hasPrefix("/"), !name.contains("..") else { return false }
    return name.unicodeScalars.allSatisfy {
      $0.isASCII && ($0.properties.isAlphabetic || ("0"..."9").contains($0) || "_+-/".unicodeScalars.contains($0))
    }
  }

  private static func read(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    let bytes = [UInt8](unsafeUninitializedCapacity: fileBytesMax) { out, count in count = fread(out.baseAddress, 1, fileBytesMax, file) }
    return bytes.isEmpty ? nil : bytes
  }

  /// Seconds east of Greenwich at a local time.
  package func utcOffset(atLocal seconds: Int64) -> Int64 { offset(atLocal: seconds).offset }

  /// Seconds east of Greenwich at a local time, and the local times from and before which it is the same.
  func offset(atLocal seconds: Int64) -> (offset: Int64, from: Int64, before: Int64) {
    var (low, high) = (0, starts.count)
    while low < high {
      let middle = (low + high) / 2
      if starts[middle] <= seconds { low = middle + 1 } else { high = middle }
    }
    return (offsets[low], low > 0 ? starts[low - 1] : .min, low < starts.count ? starts[low] : .max)
  }
}

/// A zone with its last offset, since times that follow each other mostly have the same one. Serves one thread.
final class ZoneClock {
  private let rules: ZoneRules
  private var last: (offset: Int64, from: Int64, before: Int64) = (0, 0, 0)

  init(_ rules: ZoneRules) { self.rules = rules }

  /// - Parameter local: microseconds since 1970 on the local clock.
  func utc(_ local: Int64) -> Int64 {
    let seconds = CivilTime.floorDivide(local, 1_000_000)
    if seconds < last.from || seconds >= last.before { last = rules.offset(atLocal: seconds) }
    return local - last.offset * 1_000_000
  }
}

extension ZoneRules {
  /// - Parameter file: of the database.
  package convenience init?(file bytes: [UInt8]) {
    var reader = ZoneFile(bytes)
    guard let table = reader.table() else { return nil }
    var (starts, offsets) = ([Int64](), [table.first])
    var last = (at: Int64.min, offset: table.first)
    func add(_ at: Int64, _ offset: Int64) {
      guard at > last.at else { return }
      starts.append(at + max(last.offset, offset))
      offsets.append(offset)
      last = (at, offset)
    }
    for (at, offset) in table.changes { add(at, offset) }
    if let rule = ZoneRule(reader.footer) {
      let from = table.changes.last.map { CivilTime.date(ofDay: CivilTime.floorDivide($0.at, 86_400)).year } ?? 1
      for year in max(1, min(from, 9999))...9999 { for (at, offset) in rule.changes(in: year) { add(at, offset) } }
    }
    // Two changes may be nearer than the clock moved.
    for i in starts.indices.dropFirst() where starts[i] < starts[i - 1] { starts[i] = starts[i - 1] }
    self.init(starts: starts, offsets: offsets)
  }
}

/// The bytes of a TZif file.
struct ZoneFile {
  private let bytes: [UInt8]
  private var at = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  private mutating func number(_ count: Int) -> Int64? {
    guard at + count <= bytes.count else { return nil }
    var value: Int64 = bytes[at] >= 0x80 ? -1 : 0
    for _ in 0..<count { (value, at) = (value << 8 | Int64(bytes[at]), at + 1) }
    return value
  }

  /// After the header's reserved bytes: UTC flags, wall flags, leap seconds, changes, kinds, letters.
  private mutating func header() -> [Int]? {
    guard bytes.count >= at + 44, bytes[at..<at + 4].elementsEqual("TZif".utf8) else { return nil }
    at += 20
    let counts = (0..<6).compactMap { _ in number(4).map(Int.init) }
    return counts.count == 6 && counts.allSatisfy { (0...100_000).contains($0) } ? counts : nil
  }

  /// When clocks change, as seconds since 1970, with the offsets from then on; and the offset before all.
  mutating func table() -> (first: Int64, changes: [(at: Int64, offset: Int64)])? {
    guard bytes.count > 4, bytes[4] >= UInt8(ascii: "2"), let old = header() else { return nil }
    // The first table has 32-bit times and is there for old readers.
    at += old[3] * 5 + old[4] * 6 + old[5] + old[2] * 8 + old[1] + old[0]
    guard let counts = header() else { return nil }
    let times = (0..<counts[3]).compactMap { _ in number(8) }
    let kinds = (0..<counts[3]).compactMap { _ in number(1).map { Int($0 & 0xFF) } }
    var offsets: [Int64] = []
    for _ in 0..<counts[4] {
      guard let offset = number(4), number(2) != nil, abs(offset) <= 93_600 else { return nil }
      offsets.append(offset)
    }
    at += counts[5] + counts[2] * 12 + counts[1] + counts[0]
    guard times.count == counts[3], kinds.count == counts[3], let first = offsets.first, kinds.allSatisfy(offsets.indices.contains),
      times.allSatisfy({ (-(1 << 60)...1 << 60).contains($0) })
    else { return nil }
    return (first, zip(times, kinds).map { ($0, offsets[$1]) })
  }

  /// The rule after the table.
  var footer: String {
    guard at + 1 < bytes.count, bytes[at] == 0x0A else { return "" }
    return String(decoding: bytes[(at + 1)...].prefix { $0 != 0x0A }, as: UTF8.self)
  }
}
