import WeirCore

/// The files of a table's log, as one listing shows them. The listing alone says what is there: `_last_checkpoint` may be
/// old, broken or missing.
package struct DeltaLog: Sendable {
  /// A checkpoint that has all its parts.
  struct Candidate: Sendable {
    var version: Int64
    /// In the order of their numbers.
    var parts: [ObjectInfo]
  }

  /// Versions of the JSON commits, ascending.
  package private(set) var commits: [Int64] = []
  /// Newest first; of one version the single file before the parts.
  private(set) var checkpoints: [Candidate] = []
  /// A checkpoint of version 2 of the format (named by a UUID), which is not read.
  private(set) var foreignCheckpoint: String?
  /// The newest version that a commit or a checkpoint names, readable or not; -1 for an empty log.
  package private(set) var latest: Int64 = -1
  /// Any file of the log.
  private(set) var sample: String?

  init(_ objects: [ObjectInfo], directory: String) {
    var parts: [Int64: [Int: [Int: ObjectInfo]]] = [:]
    for object in objects {
      sample = sample ?? object.path
      guard let file = LogFile(object.path, directory: directory) else { continue }
      latest = max(latest, file.version)
      switch file.kind {
      case .commit: commits.append(file.version)
      case .checkpoint: checkpoints.append(Candidate(version: file.version, parts: [object]))
      case .part(let part, let count): parts[file.version, default: [:]][count, default: [:]][part] = object
      case .foreign: foreignCheckpoint = object.path
      }
    }
    commits.sort()
    for (version, sets) in parts {
      for (count, found) in sets where found.count == count {
        checkpoints.append(Candidate(version: version, parts: found.sorted { $0.key < $1.key }.map(\.value)))
      }
    }
    checkpoints.sort { ($1.version, $0.parts.count) < ($0.version, $1.parts.count) }
  }

  /// The first of the commits that follow each other up to the newest commit; nil if there is no commit.
  var runStart: Int64? {
    guard var start = commits.last else { return nil }
    for version in commits.reversed().dropFirst() where version == start - 1 { start = version }
    return start
  }

  /// Whether a snapshot of `version` (-1: nothing) and the commits after it lead to the newest version.
  func leadsToLatest(from version: Int64) -> Bool {
    if version == latest { return true }
    guard let runStart, commits.last == latest else { return false }
    return version + 1 >= runStart
  }

  /// The version before which all commits are gone; 0 if there is commit 0.
  package var firstCommit: Int64 { commits.first ?? latest + 1 }

  /// Whether the commits that are gone were cleaned as the protocol allows: a checkpoint covers them.
  package var isCleaned: Bool {
    firstCommit > 0 && checkpoints.contains { $0.version == firstCommit || $0.version == firstCommit - 1 }
  }

  /// The first version whose commit is missing although nothing covers it; nil if none is.
  package var firstGap: Int64? {
    if firstCommit > 0, !isCleaned { return 0 }
    for (version, next) in zip(commits, commits.dropFirst()) where next != version + 1 { return version + 1 }
    if let last = commits.last, last < latest { return last + 1 }
    return nil
  }
}

/// The name of a file of a log, taken apart.
///
/// Source: PROTOCOL.md of Delta, "Delta Log Entries" and "Checkpoints".
private struct LogFile {
  enum Kind {
    case commit, checkpoint
    case part(Int, of: Int)
    case foreign
  }

  let version: Int64
  let kind: Kind

  init?(_ path: String, directory: String) {
    guard path.hasPrefix(directory) else { return nil }
    let fields = path.dropFirst(directory.count).split(separator: ".", omittingEmptySubsequences: false)
    guard fields.count >= 2, fields[0].utf8.count == 20, let version = LogFile.number(fields[0]) else { return nil }
    self.version = version
    switch fields.count {
    case 2 where fields[1] == "json": kind = .commit
    case 3 where fields[1] == "checkpoint" && fields[2] == "parquet": kind = .checkpoint
    case 4 where fields[1] == "checkpoint" && (fields[3] == "parquet" || fields[3] == "json"): kind = .foreign
    case 5 where fields[1] == "checkpoint" && fields[4] == "parquet":
      guard let part = LogFile.number(fields[2]), let count = LogFile.number(fields[3]), part >= 1, part <= count else { return nil }
      kind = .part(Int(part), of: Int(count))
    default: return nil
    }
  }

  private static func number(_ digits: Substring) -> Int64? {
    digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int64(digits) : nil
  }
}
