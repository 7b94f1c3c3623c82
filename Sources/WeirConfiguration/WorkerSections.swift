import WeirCore
import WeirEngine
import WeirPlan
import Yams

/// `admin` and `worker`: settings of a worker.
extension PipelineLoader {
  /// `admin: {listen: 127.0.0.1:9464, hosts: [NAME], token: {env: NAME}, metrics_token: false, insecure: false}`; `admin: {}` listens on
  /// 127.0.0.1:9464.
  func admin(_ node: Node) -> AdminSpec? {
    let members = reader.mapping(node, "admin", keys: ["listen", "hosts", "token", "metrics_token", "insecure"])
    var spec = AdminSpec()
    func flag(_ key: String) -> Bool? {
      members[key].flatMap { reader.choice($0, "admin.\(key)", ["true", "false"]) }.map { $0 == "true" }
    }
    spec.protectsMetrics = flag("metrics_token")
    spec.isInsecure = flag("insecure")
    spec.token = members["token"].flatMap { secret($0, "admin.token") }
    spec.hosts = members["hosts"].map { list in
      reader.strings(list, "admin.hosts").map { name, item in
        if !HostAddress.isHost(name[...]) { reader.report("admin.hosts: \(name) is not a host name", "bad_value", at: item) }
        return name
      }
    }
    if members["token"] != nil, spec.isInsecure == true {
      reader.report("admin: either token or insecure", "bad_value", at: members["insecure"])
    }
    if spec.protectsMetrics == true, members["token"] == nil {
      reader.report("admin.metrics_token needs admin.token", "missing_key", at: members["metrics_token"])
    }
    if let token = members["token"] { warn(ofToken: spec.token, at: token) }
    guard let listen = members["listen"] else { return spec }
    guard let text = reader.string(listen, "admin.listen") else { return nil }
    do {
      let address = try AdminAddress(text)
      spec.listen = address.text
      guard address.isLoopback || members["token"] != nil || spec.isInsecure == true else { throw AdminToken.missing(at: address) }
      return spec
    } catch {
      let advice = (error as? WeirError).map { "\($0.message)\($0.advice.map { ". \($0)" } ?? "")" } ?? "\(error)"
      reader.report("admin.listen: \(advice)", "bad_value", at: listen)
      return nil
    }
  }

  /// Where the value is known already. A warning: the token of the machine that checks need not be that of the one that runs.
  private func warn(ofToken place: SecretSpec?, at node: Node) {
    guard let place, let value = sections.secret(place), let weakness = AdminToken.weakness(value) else { return }
    reader.report(
      "\(weakness.message); `weir run` refuses it\(weakness.advice.map { ". \($0)" } ?? "")", "bad_token", at: node, severity: .warning)
  }

  /// `worker: {drain: 25s, stall: 60s, dead: 5m, memory: 2GiB}`.
  func worker(_ node: Node) -> WorkerSpec {
    var spec = WorkerSpec()
    let members = reader.mapping(node, "worker", keys: ["drain", "stall", "dead", "memory"])
    if let drain = members["drain"].flatMap({ reader.duration($0, "worker.drain", within: LiveBounds.drain) }) {
      spec.drainMicroseconds = drain
    }
    if let stall = members["stall"].flatMap({ reader.duration($0, "worker.stall", within: LiveBounds.stall) }) {
      spec.stallMicroseconds = stall
    }
    if let dead = members["dead"].flatMap({ reader.duration($0, "worker.dead", within: LiveBounds.dead) }) { spec.deadMicroseconds = dead }
    if let node = members["memory"], let bytes = reader.bytes(node, "worker.memory") {
      spec.memoryBytes = bytes
      if bytes < MemoryBudget.least {
        reader.report("worker.memory must be at least \(MemoryBudget.least >> 20)MiB", "bad_value", at: node)
      }
    }
    if spec.deadMicroseconds < spec.stallMicroseconds {
      reader.report("worker.dead must not be shorter than worker.stall", "bad_value", at: members["dead"] ?? node)
    }
    return spec
  }
}
