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
  }

  /// The problem that is known without a request to a service; nil: none.
  package func problemHere() throws(WeirError) -> WeirError? { try here().problem() }

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
