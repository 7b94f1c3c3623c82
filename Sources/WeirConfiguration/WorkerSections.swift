import WeirCore
import WeirPlan
import WeirS3Settings
import Yams

/// `admin`, `worker` and `lake`.
extension PipelineLoader {
  /// `admin: {listen: 127.0.0.1:9464, hosts: [NAME], token: {env: NAME}, metrics_token: false, insecure: false}`; `admin: {}` listens on
  /// 127.0.0.1:9464.
  func admin(_ node: Node) {
    let members = reader.mapping(node, "admin", .admin)
    func flag(_ key: String) -> Bool? {
      members[key].flatMap { reader.choice($0, "admin.\(key)", ["true", "false"]) }.map { $0 == "true" }
    }
    var admin = PlanAdmin()
    (admin.protectsMetrics, admin.isInsecure) = (flag("metrics_token"), flag("insecure"))
    admin.token = members["token"].flatMap { secret($0, "admin.token") }
    admin.hasToken = members["token"] != nil
    admin.tokenValue = admin.token.flatMap(sections.secret)
    admin.hosts = members["hosts"].map { reader.texts($0, "admin.hosts") }
    admin.listen = members["listen"].flatMap { reader.text($0, "admin.listen") }
    admin.tokenSpan = members["token"]?.span
    (admin.protectsMetricsSpan, admin.isInsecureSpan) = (members["metrics_token"]?.span, members["insecure"]?.span)
    builder.admin(admin)
  }

  /// `worker: {drain: 25s, stall: 60s, dead: 5m, memory: 2GiB, cloudwatch: {namespace: Weir, every: 1m}}`.
  func worker(_ node: Node) {
    let members = reader.mapping(node, "worker", .worker)
    var worker = PlanWorker()
    worker.drain = members["drain"].map { reader.quantity($0, "worker.drain") }
    worker.stall = members["stall"].map { reader.quantity($0, "worker.stall") }
    worker.dead = members["dead"].map { reader.quantity($0, "worker.dead") }
    worker.memory = members["memory"].flatMap { reader.bytes($0, "worker.memory") }
    (worker.memorySpan, worker.span) = (members["memory"]?.span, node.span)
    if let node = members["cloudwatch"] {
      let inner = reader.mapping(node, "worker.cloudwatch", .cloudWatch)
      worker.hasCloudWatch = true
      worker.cloudWatchNamespace = inner["namespace"].flatMap { reader.text($0, "worker.cloudwatch.namespace") }
      worker.cloudWatchEvery = inner["every"].map { reader.quantity($0, "worker.cloudwatch.every") }
    }
    builder.worker(worker)
  }

  /// `lake: {path: ./lake, s3: {…}, flush: {every: 10s, bytes: 64MiB}, file_size: 128MiB, codec: zstd, format: delta, ledger_keep: 7d}`.
  /// - Parameter keepsRows: the plan has tables whose rows are held until a cut.
  func lake(_ node: Node?, keepsRows: Bool) {
    var lake = PlanLake()
    lake.keepsRows = keepsRows
    if let node {
      let members = reader.mapping(node, "lake", .lake(sections))
      func size(_ node: Node?, _ what: String) -> PlanSize? {
        node.flatMap { node in reader.bytes(node, what).map { PlanSize($0, at: node.span) } }
      }
      lake.path = members["path"].flatMap { node in reader.list.within(.lakePath) { reader.text(node, "lake.path") } }
      lake.store = members["s3"].map { s3($0, lake.path) }
      lake.ledgerKeep = members["ledger_keep"].flatMap { reader.duration($0, "lake.ledger_keep") }
      if let flush = members["flush"] {
        let inner = reader.mapping(flush, "lake.flush", .flush)
        lake.flushEvery = inner["every"].flatMap { reader.duration($0, "lake.flush.every") }
        lake.flushBytes = size(inner["bytes"], "lake.flush.bytes")
      }
      lake.fileSize = size(members["file_size"], "lake.file_size")
      lake.codec = members["codec"].flatMap { reader.choice($0, "lake.codec", KeyTable.lake(sections).choices("codec")) }.flatMap(
        Codec.init(rawValue:))
      lake.format = members["format"].flatMap(tableFormat)
    }
    builder.lake(lake)
  }

  /// `s3: {region: eu-west-1, sse: "aws:kms", kms_key: alias/weir}`: texts, which the store's settings check.
  private func s3(_ node: Node, _ path: PlanText?) -> [String: String] {
    let members = reader.mapping(node, "lake.s3", .s3)
    let options = members.compactMapValues { reader.text($0, "lake.s3")?.text }
    guard let path, S3Location.accepts(path.text) else {
      reader.report("lake.s3: lake.path names no bucket, such as s3://BUCKET/PREFIX", "bad_value", at: node)
      return [:]
    }
    do throws(WeirError) {
      if let location = try? S3Location(path.text) { _ = try S3Settings(location, options: options) }
    } catch {
      reader.report("lake.s3: \(error.message). \(error.advice?.description ?? "")", "bad_value", at: node)
    }
    return options
  }
}
