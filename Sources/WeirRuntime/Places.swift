import Glibc
import WeirConfiguration
import WeirCore
import WeirPlan
import WeirS3Settings

/// Where a pipeline's tables lie: from the file, or as the command line says.
package struct Places: Sendable {
  package var lake: String
  package var store: String
  /// Arguments of `--capture`.
  package var captures: [String] = []
  /// Of the store that the lake is in, by its own names.
  let lakeSettings: [String: String]
  /// Of the lake's tables.
  let format: TableFormatSpec?
  /// The state table is used.
  private let usesStore: Bool

  /// A lake without a pipeline.
  /// - Parameter lake: checked.
  package init(lake: String) { (self.lake, store, lakeSettings, format, usesStore) = (lake, "", [:], nil, false) }

  /// - Throws: `config` where an option is no path of this machine.
  package init(_ pipeline: LoadedPipeline, lake: String?, store: String?) throws {
    format = pipeline.plan.lake.format
    self.lake =
      try lake.map { text in try PathText.checkedLake(text, "--lake") } ?? Paths.lake(pipeline.plan.lake.path, in: pipeline.directory)
    lakeSettings = pipeline.plan.lake.store ?? [:]
    self.store =
      try store.map { text in try AdapterRegistry.standard.stateTablePlace(text, option: "--store") }
      ?? AdapterRegistry.standard.stateTablePlace(pipeline.plan.store, in: pipeline.directory)
    usesStore = pipeline.namesState || !pipeline.plan.state.isEmpty
  }
}

extension Places {
  /// On this machine; nil: the lake is in a service.
  package var lakeDirectory: String? { S3Location.accepts(lake) ? nil : lake }

  /// The settings of the store of another lake: those of the plan's, if it is in such a store.
  package func lakeSettings(of other: String) -> [String: String] { S3Location.accepts(other) ? lakeSettings : [:] }

  /// Looks at what is above the places, and judges them (``PlaceCheck``). Writes nothing.
  /// - Parameter needsAnswers: a store that does not answer is an error, and not a place that is not known.
  /// - Throws: `config` where one must not be used.
  package func check(_ effects: LakeEffects, needsAnswers: Bool = false) async throws(WeirError) {
    var check = try here()
    if let lake = check.lake, !lake.path.isFileSystem, check.problem() == nil {
      let found = try await AdapterRegistry.standard.found(above: self.lake, lake.path, settings: lakeSettings, effects)
      if needsAnswers, let error = found.unanswered { throw error }
      check.tables.formUnion(found.tables)
      check.lakes.formUnion(found.lakes)
    }
    if let problem = check.problem() { throw problem }
    try Places.checkDirectories(check)
  }

  /// The problem that is known without a request to a service; nil: none.
  package func problemHere() throws(WeirError) -> WeirError? {
    let check = try here()
    if let problem = check.problem() { return problem }
    try Places.checkDirectories(check)
    return nil
  }

  private func here() throws(WeirError) -> PlaceCheck {
    var check = PlaceCheck()
    let lake = try RealPath.place(lake)
    check.lake = .init(self.lake, lake)
    for capture in captures where capture != "-" { check.captures.append(.init(capture, try RealPath.capture(capture))) }
    if usesStore, let directory = AdapterRegistry.standard.directory(ofStateTable: store) {
      check.state = .init(directory, RealPath.of(directory))
    }
    for place in [check.lake, check.state].compactMap({ $0?.path }) { check.look(above: place) }
    return check
  }
}

extension Places {
  /// Of the longest path that Weir makes in a place, counted from it.
  private static let innerBytesMax = 512

  private static func checkDirectories(_ check: PlaceCheck) throws(WeirError) {
    if let lake = check.lake, lake.path.isFileSystem { try checkDirectory("the lake", lake) }
    if let state = check.state { try checkDirectory("the state table", state) }
  }

  /// A directory that could not be made when something is first written there.
  private static func checkDirectory(_ what: String, _ place: PlaceCheck.Named) throws(WeirError) {
    let (text, path) = (place.text, place.path)
    if let target = LocalFile.danglingTarget(text) {
      throw WeirError(
        .config, "\(what) \(text) is a symbolic link to \(target), which is not there",
        advice: "Create that directory, or correct the link.")
    }
    if let step = path.steps.first(where: { $0.utf8.count > Int(NAME_MAX) }) {
      throw WeirError(
        .config, "\(what) \(text) is too long: a name in it has \(step.utf8.count) bytes, and the most is \(NAME_MAX)",
        advice: "Choose a shorter path.")
    }
    let bytesMax = Int(PATH_MAX) - 1 - innerBytesMax
    guard path.text.utf8.count <= bytesMax else {
      throw WeirError(
        .config, "\(what) \(text) is too long: its path has \(path.text.utf8.count) bytes, and the most is \(bytesMax)",
        advice: "Choose a shorter path.")
    }
  }
}

extension PlaceCheck {
  /// Looks for tables and lakes in the directories above a place of this machine.
  mutating func look(above path: PlacePath) {
    guard path.isFileSystem else { return }
    for look in PlaceCheck.looks(above: path) {
      let isThere = RealPath.isThere(look.path.text + "/" + (look.isLake ? PlaceCheck.ledgers : PlaceCheck.log))
      guard isThere else { continue }
      if look.isLake { lakes.insert(look.path) } else { tables.insert(look.path) }
    }
  }

  /// - Parameter place: of a state table. One in a service is in no lake.
  /// - Throws: `config` where it must not be used.
  package static func check(state place: String) throws(WeirError) {
    guard let directory = AdapterRegistry.standard.directory(ofStateTable: place) else { return }
    var check = PlaceCheck()
    let path = RealPath.of(directory)
    check.state = .init(directory, path)
    check.look(above: path)
    if let problem = check.problem() { throw problem }
  }

  /// - Parameter directory: that `weir capture` writes.
  /// - Throws: `config` where it must not be used.
  package static func check(output directory: String) throws(WeirError) {
    var check = PlaceCheck()
    let path = RealPath.of(directory)
    check.output = .init(directory, path)
    check.look(above: path)
    if let problem = check.problem() { throw problem }
  }
}
