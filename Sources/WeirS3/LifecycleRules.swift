import WeirCore
import WeirS3Settings

/// A rule of a bucket's lifecycle, as far as it may harm a lake.
///
/// Source: Amazon S3 API Reference, GetBucketLifecycleConfiguration. Rules of before 2016 have the prefix outside of a filter.
struct LifecycleRule: Sendable, Hashable {
  var id: String
  var isEnabled: Bool
  /// Empty: the whole bucket.
  var prefix: String
  /// Only objects with these tags; Weir's have none.
  var needsTags: Bool
  /// `after N days`, `on DATE`; nil: it deletes no current object.
  var expiration: String?
  /// It deletes noncurrent versions.
  var removesNoncurrent: Bool
  var transitions: [Transition]

  struct Transition: Sendable, Hashable {
    /// As ``LifecycleRule/expiration``.
    var when: String
    /// Such as `GLACIER`.
    var storageClass: String
  }

  /// The rules of an answer; nil: the bytes are no such answer.
  static func rules(_ bytes: [UInt8]) -> [LifecycleRule]? {
    guard let root = XMLElement(parsing: bytes), root.name == "LifecycleConfiguration" else { return nil }
    return root.all("Rule").map { LifecycleRule($0) }
  }

  private init(_ rule: XMLElement) {
    let filter = rule.all("Filter").first
    let both = filter?.all("And").first
    id = rule["ID"].flatMap { $0.isEmpty ? nil : Printable.text($0, bytesMax: 255) } ?? "without a name"
    isEnabled = rule["Status"] == "Enabled"
    prefix = both?["Prefix"] ?? filter?["Prefix"] ?? rule["Prefix"] ?? ""
    needsTags = filter?.all("Tag").isEmpty == false || both?.all("Tag").isEmpty == false
    // Of a rule that removes delete markers there is neither.
    expiration = rule.all("Expiration").first.flatMap { LifecycleRule.when($0) }
    removesNoncurrent = !rule.all("NoncurrentVersionExpiration").isEmpty
    transitions = rule.all("Transition").compactMap { transition in
      guard let storageClass = transition["StorageClass"] else { return nil }
      let shown = Printable.text(storageClass, bytesMax: 40)
      return Transition(when: LifecycleRule.when(transition) ?? "at once", storageClass: shown)
    }
  }

  private static func when(_ element: XMLElement) -> String? {
    if let days = element["Days"] { return "after \(Printable.text(days, bytesMax: 20)) days" }
    return element["Date"].map { "on \(Printable.text($0, bytesMax: 40))" }
  }

  // MARK: Judgement

  /// Storage classes from which an object is read only after a request to restore it.
  private static let archives: Set<String> = ["GLACIER", "DEEP_ARCHIVE"]
  /// What is in a lake: the ledger, and the tables by their kind.
  private static let directories = ["_weir/", "bronze/", "silver/", "gold/", "quarantine/", "late/"]

  /// What of a lake the rule selects, such as `a lake/_weir/`; nil: nothing.
  func selected(of location: S3Location) -> String? {
    let keys = LifecycleRule.directories.map { location.key($0) }
    // Bytes, not characters: S3 compares bytes.
    func begins(_ text: String, with start: String) -> Bool { text.utf8.starts(with: start.utf8) }
    if keys.allSatisfy({ begins($0, with: prefix) }) { return location.prefix.isEmpty ? "the bucket" : location.prefix + "/" }
    return keys.first { begins($0, with: prefix) } ?? (keys.contains { begins(prefix, with: $0) } ? prefix : nil)
  }

  /// What the rule does to a lake; nil: nothing.
  func finding(of location: S3Location) -> StoreFinding? {
    guard isEnabled, let keys = selected(of: location).map({ Printable.text($0, bytesMax: 200) }) else { return nil }
    let rule = "the lifecycle rule \(id)"
    let advice = "Give the rule a prefix that does not contain the lake, or remove it."
    let archive = transitions.first { LifecycleRule.archives.contains($0.storageClass) }
    guard expiration != nil || !transitions.isEmpty else { return nil }
    if needsTags {
      let what = "would delete or move objects below \(keys) that have tags: Weir's objects have none"
      return StoreFinding(what: rule, notice: "\(what), so nothing may tag them")
    }
    if let expiration {
      return StoreFinding(
        what: rule, problem: "deletes objects below \(keys) \(expiration): the ledger or tables would lose data\n  \(advice)")
    }
    if let archive {
      let moves = "moves objects below \(keys) to \(archive.storageClass) \(archive.when)"
      return StoreFinding(what: rule, problem: "\(moves): they could not be read until they are restored\n  \(advice)")
    }
    let classes = transitions.map { "\($0.storageClass) \($0.when)" }.joined(separator: ", ")
    return StoreFinding(
      what: rule, notice: "moves objects below \(keys) to \(classes): they can be read, and each read and small object costs more there")
  }
}
