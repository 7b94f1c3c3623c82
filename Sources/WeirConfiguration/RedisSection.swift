import WeirCore
import WeirPlan
import WeirRedisSettings
import Yams

/// `store: {redis: redis://HOST:PORT/N}`, or with settings: `store: {redis: {url: …, password: {env: NAME}, prefix: …}}`.
package struct RedisSection: StateTableSection {
  package init() {}

  package var settings: any StateTableSettings.Type { RedisSettings.self }
  package var shape: ValueShape { .either([.text, .table(.variable), .table(.redis)]) }

  package func read(_ node: Node?, with loader: PipelineLoader) -> (any StateTableSettings)? { node.flatMap { loader.redis($0) } }
}

extension PipelineLoader {
  fileprivate func redis(_ node: Node) -> RedisSettings? {
    let what = "store.redis"
    guard let mapping = node.mapping, !mapping.contains(where: { $0.key.string == "env" }) else {
      let settings = address(node, what)
      for problem in settings?.problems ?? [] { report(problem, what, at: node) }
      return settings
    }
    let members = reader.mapping(node, what, .redis)
    guard let url = reader.required(members, "url", of: what, at: node), var settings = address(url, "\(what).url") else { return nil }
    settings.userSecret = members["user"].flatMap { secret($0, "\(what).user") }
    settings.password = members["password"].flatMap { secret($0, "\(what).password") }
    if let prefix = members["prefix"].flatMap({ reader.string($0, "\(what).prefix") }) {
      if let problem = RedisSettings.problem(ofPrefix: prefix) { report(problem, "\(what).prefix", at: members["prefix"]) }
      settings.prefix = prefix
    }
    if let timeout = members["timeout"].flatMap({ reader.duration($0, "\(what).timeout") }) { settings.replyMilliseconds = timeout / 1000 }
    if let node = members["tls"] {
      if settings.tls == nil, settings.addressVariable == nil {
        reader.report("\(what).tls needs an address that begins with rediss://", "bad_value", at: node)
      }
      settings.tls = tls(node, "\(what).tls")
    }
    for problem in settings.problems { report(problem, what, at: node) }
    return settings
  }

  /// The address itself, or `{env: NAME}`. What comes from the environment may hold a password, and is read again where it is used.
  private func address(_ node: Node, _ what: String) -> RedisSettings? {
    guard node.mapping == nil else {
      let members = reader.mapping(node, what, .variable)
      guard let variable = reader.required(members, "env", of: what, at: node), let name = reader.string(variable, "\(what).env") else {
        return nil
      }
      let settings = RedisSettings.named(by: name)
      if let value = reader.variable(name, what, at: variable) {
        do { _ = try settings.resolved { _ in value } } catch { report(error, what, at: variable) }
      }
      return settings
    }
    guard let text = reader.string(node, what) else { return nil }
    do {
      let address = try RedisAddress(text)
      guard !address.host.isEmpty else { throw RedisAddress.withoutServer }
      guard address.parameters.isEmpty else {
        throw RedisSettingProblem(
          reason: "the address has parameters", advice: "Write the settings with names: {url: …, prefix: …, password: {env: NAME}}.")
      }
      guard address.password == nil else {
        throw RedisSettingProblem(
          reason: "a password must not be in the pipeline file",
          advice: "Write {url: …, password: {env: NAME}}, or {env: NAME} for the whole address.")
      }
      // A user without a password here may have one among the other settings.
      return try RedisSettings(address)
    } catch let problem as RedisSettingProblem {
      // The text itself is not shown: it may hold a secret.
      report(problem, what, at: node)
      return nil
    } catch { return nil }
  }

  private func report(_ problem: RedisSettingProblem, _ what: String, at node: Node?) {
    reader.report("\(what): \(problem.reason). \(problem.advice)", "bad_value", at: node)
  }
}
