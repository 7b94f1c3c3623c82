import WeirCore
import WeirPlan
import Yams

/// Secrets of a pipeline file, wherever one may be named.
extension PipelineLoader {
  /// `{env: NAME}`, `{file: PATH}`, `{secretsmanager: NAME, key: MEMBER}` or `{ssm: NAME}`; a secret in the file itself is refused.
  ///
  /// Only the form is checked: nothing is fetched.
  func secret(_ node: Node, _ what: String) -> SecretSpec? {
    guard node.mapping != nil else {
      reader.report(
        "\(what): a secret must not be in the pipeline file: write {env: NAME} or {file: PATH}, or name a secret of AWS: "
          + "{secretsmanager: NAME, key: MEMBER} or {ssm: NAME}", "bad_value", at: node)
      return nil
    }
    let members = reader.mapping(node, what, .secret)
    let given = KeyTable.secretPlaces.filter { members[$0] != nil }
    if given.count > 1 { reader.report("\(what): either \(given.joined(separator: " or ")), not both", "bad_value", at: node) }
    if let store = StoredSecret.Store.allCases.first(where: { members[$0.rawValue] != nil }) {
      return stored(store, members, what)
    }
    for name in ["key", "refresh"] where members[name] != nil {
      reader.report("\(what).\(name) is only for secrets of AWS: secretsmanager or ssm", "bad_value", at: members[name])
    }
    if let variable = members["env"], let name = reader.string(variable, "\(what).env") {
      // Its value is read where it is used, and kept nowhere.
      _ = reader.variable(name, what, at: variable)
      return .environment(name)
    }
    if let path = reader.path(members["file"], "\(what).file") { return .file(Paths.resolve(path, in: directory)) }
    if given.isEmpty { reader.report("\(what) needs env or file, or secretsmanager or ssm", "missing_key", at: node) }
    return nil
  }

  private func stored(_ store: StoredSecret.Store, _ members: [String: Node], _ what: String) -> SecretSpec? {
    guard let node = members[store.rawValue], let name = reader.string(node, "\(what).\(store.rawValue)") else { return nil }
    var secret = StoredSecret(store, name)
    if let problem = secret.problem {
      reader.report("\(what).\(store.rawValue): \(problem)", "bad_value", at: node)
      return nil
    }
    secret.member = members["key"].flatMap { reader.string($0, "\(what).key") }
    if let problem = secret.problem { reader.report("\(what).key: \(problem)", "bad_value", at: members["key"]) }
    if let age = members["refresh"].flatMap({ reader.duration($0, "\(what).refresh", within: LiveBounds.secretRefresh) }) {
      secret.refreshMicroseconds = age
    }
    return .stored(secret)
  }
}
