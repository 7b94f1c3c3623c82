import WeirCore
import WeirS3Settings

/// Where something is: in the file system, or in a bucket.
package struct PlacePath: Sendable, Hashable {
  /// `/`, or `s3://BUCKET`.
  package var root: String
  /// Names below it. Of a directory without links, `.` and `..`; of a prefix as S3 has them, also empty ones.
  package var steps: [String]

  package init(root: String = "/", steps: [String]) { (self.root, self.steps) = (root, steps) }

  /// - Parameter absolute: a path without links, `.` and `..`.
  package init(absolute: String) { self.init(steps: absolute.split(separator: "/").map { String($0) }) }

  /// A bucket, or a prefix in it.
  package init(_ location: S3Location) {
    let steps = location.prefix.split(separator: "/", omittingEmptySubsequences: false).map { String($0) }
    self.init(root: S3Location.scheme + location.bucket, steps: location.prefix.isEmpty ? [] : steps)
  }

  package var isFileSystem: Bool { root == "/" }
  package var text: String { isFileSystem ? "/" + steps.joined(separator: "/") : ([root] + steps).joined(separator: "/") }

  /// Whether it is `other`, or below it.
  package func isWithin(_ other: PlacePath) -> Bool { root == other.root && steps.starts(with: other.steps) }

  /// Itself, then what is above it, up to the root.
  package var upward: [PlacePath] { (0...steps.count).reversed().map { PlacePath(root: root, steps: Array(steps.prefix($0))) } }
}

/// The one check of the places that a command uses, before it writes anything: none of them is inside another one whose owner would read it
/// as records, or delete it. Pure: what is at the places was looked at before.
package struct PlaceCheck: Sendable {
  /// A place, as its user wrote it and as it is.
  package struct Named: Sendable, Hashable {
    package var text: String
    package var path: PlacePath

    package init(_ text: String, _ path: PlacePath) { (self.text, self.path) = (text, path) }

    /// With the place that a link leads to.
    fileprivate var shown: String { text == path.text || !path.isFileSystem || !isElsewhere ? text : "\(text) (\(path.text))" }

    /// The text does not name the place itself: it has links, or `..`.
    private var isElsewhere: Bool {
      let steps = text.split(separator: "/").filter { $0 != "." }
      return !path.steps.suffix(steps.count).elementsEqual(steps) { $0 == $1 }
    }
  }

  /// nil: the command has none.
  package var lake: Named?
  package var captures: [Named] = []
  /// Where a capture is written.
  package var output: Named?
  /// The directory of a state table; nil: there is none, or it is in a service.
  package var state: Named?
  /// Places at or above one of these, with a `_delta_log` in them.
  package var tables: Set<PlacePath> = []
  /// Places at or above one of these, with a `_weir` in them.
  package var lakes: Set<PlacePath> = []

  package init() {}

  /// Directories in a lake's root, with tables in them.
  package static let kinds: Set<String> = ["bronze", "silver", "gold", "quarantine", "late"]
  package static let ledgers = "_weir"
  package static let log = "_delta_log"

  /// What to look for above a place: those that hold tables, and those that hold lakes.
  /// - Parameter path: of a lake, a state table or a capture that is written.
  package static func looks(above path: PlacePath) -> [(path: PlacePath, isLake: Bool)] {
    path.upward.flatMap { place in
      let isKind = place.steps.count < path.steps.count && kinds.contains(path.steps[place.steps.count])
      return [(place, false)] + (isKind ? [(place, true)] : [])
    }
  }

  /// - Returns: `config`; nil where the places may be used.
  package func problem() -> WeirError? {
    if let lake {
      if lake.path.isFileSystem, lake.path.steps.isEmpty {
        return WeirError(
          .config, "the lake \(lake.text) is the root of the file system", advice: "Name a directory for the lake, such as /data/lake.")
      }
      for capture in captures { if let problem = problem(of: capture, lake) { return problem } }
      if let problem = inside("the lake", lake, advice: lakeAdvice) { return problem }
    }
    if let output, let problem = inside("the capture", output, advice: "Give the capture a directory that is in no lake and no table.") {
      return problem
    }
    return state.flatMap { inside("the state table", $0, advice: stateAdvice) }
  }

  private var lakeAdvice: Wording {
    "Give the lake a path of its own, which is in no table of another lake. A lake that was there before can be moved: copy it, as the page Moving a Lake describes, before the outer table is vacuumed."
  }
  private var stateAdvice: Wording {
    "Give the state table a directory next to the lake (\(.otherStore)). It can be rebuilt there from the ledger."
  }

  private func problem(of capture: Named, _ lake: Named) -> WeirError? {
    if lake.path.isWithin(capture.path) {
      let how = lake.path == capture.path ? "is also its own capture" : "is inside its own capture \(capture.shown)"
      return WeirError(
        .config, "the lake \(lake.shown) \(how): the next run would read the lake's files as records",
        advice: "Give the lake a path next to the capture, not in it. What is already there is not removed.")
    }
    if let what = part(capture.path, of: lake.path) {
      return WeirError(
        .config, "the capture \(capture.shown) is inside \(what) of its own lake \(lake.shown)",
        advice:
          "Copy the files that are records to a directory of their own, and name that: other programs remove unknown files of a table.")
    }
    if let step = reserved(capture.path) {
      let what = step.steps.last == PlaceCheck.log ? "the log of a Delta table" : "the ledgers of a lake"
      return WeirError(
        .captureFormat, "the capture \(capture.shown) is inside \(step.text), \(what), and has no records",
        advice: "Replay the capture that the lake was made from: its files, or \(.captureDirectory).")
    }
    return nil
  }

  /// The ledgers or tables of a lake that a place is in; nil: in none.
  private func part(_ path: PlacePath, of lake: PlacePath) -> String? {
    guard path.isWithin(lake), path.steps.count > lake.steps.count else { return nil }
    let step = path.steps[lake.steps.count]
    if step == PlaceCheck.ledgers { return "the ledgers (\(step))" }
    return PlaceCheck.kinds.contains(step) ? "the tables (\(step))" : nil
  }

  /// The directory of ledgers, or the log of a table, that a place is in.
  private func reserved(_ path: PlacePath) -> PlacePath? {
    path.steps.firstIndex { $0 == PlaceCheck.ledgers || $0 == PlaceCheck.log }.map {
      PlacePath(root: path.root, steps: Array(path.steps.prefix($0 + 1)))
    }
  }

  private func inside(_ what: String, _ place: Named, advice: Wording) -> WeirError? {
    if place.path.isFileSystem, place.path.steps.isEmpty {
      return WeirError(.config, "\(what) \(place.text) is the root of the file system", advice: advice)
    }
    if let step = reserved(place.path) {
      let isLog = step.steps.last == PlaceCheck.log
      return WeirError(
        .config, "\(what) \(place.shown) is inside \(step.text), which is \(isLog ? "the log of a table" : "the ledgers of a lake")",
        advice: advice)
    }
    for above in place.path.upward {
      if tables.contains(above) {
        let how = above == place.path ? "is the Delta table" : "is inside the Delta table"
        return WeirError(
          .config, "\(what) \(place.shown) \(how) \(above.text): a VACUUM of that table deletes it", advice: advice)
      }
      let isOwn = what != "the lake" && above == lake?.path
      if isOwn || lakes.contains(above), let part = part(place.path, of: above) {
        return WeirError(
          .config, "\(what) \(place.shown) is inside \(part) of the lake \(above.text): a VACUUM of a table there deletes it",
          advice: advice)
      }
    }
    return nil
  }
}
