import WeirCore
import Yams

/// `admin` and `worker`: settings of a live worker.
extension PipelineLoader {
  /// `admin: {listen: 127.0.0.1:9464}`; `admin: {}` is the same.
  func admin(_ node: Node) -> AdminSpec? {
    let members = reader.mapping(node, "admin", keys: ["listen"])
    guard let listen = members["listen"] else { return AdminSpec() }
    guard let text = reader.string(listen, "admin.listen") else { return nil }
    do { return AdminSpec(listen: try AdminAddress(text).text) } catch {
      reader.report("admin.listen: \(error.message)", "bad_value", at: listen)
      return nil
    }
  }

  /// `worker: {drain: 25s, stall: 60s, dead: 5m}`.
  func worker(_ node: Node) -> WorkerSpec {
    var spec = WorkerSpec()
    let members = reader.mapping(node, "worker", keys: ["drain", "stall", "dead"])
    if let drain = members["drain"].flatMap({ reader.duration($0, "worker.drain", within: LiveBounds.drain) }) {
      spec.drainMicroseconds = drain
    }
    if let stall = members["stall"].flatMap({ reader.duration($0, "worker.stall", within: LiveBounds.stall) }) {
      spec.stallMicroseconds = stall
    }
    if let dead = members["dead"].flatMap({ reader.duration($0, "worker.dead", within: LiveBounds.dead) }) { spec.deadMicroseconds = dead }
    if spec.deadMicroseconds < spec.stallMicroseconds {
      reader.report("worker.dead must not be shorter than worker.stall", "bad_value", at: members["dead"] ?? node)
    }
    return spec
  }
}
