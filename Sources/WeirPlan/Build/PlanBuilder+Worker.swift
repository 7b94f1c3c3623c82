import WeirCore
import WeirEngine

/// `admin`, as a front door has parsed it.
package struct PlanAdmin {
  /// nil: not written.
  package var listen: PlanText?
  package var hosts: [PlanText]?
  package var token: SecretSpec?
  /// A token was written, if perhaps in vain.
  package var hasToken: Bool
  /// The token itself, where it is known.
  package var tokenValue: String?
  package var protectsMetrics: Bool?
  package var isInsecure: Bool?
  package var tokenSpan: SourceSpan?
  package var protectsMetricsSpan: SourceSpan?
  package var isInsecureSpan: SourceSpan?

  package init(listen: PlanText? = nil, token: SecretSpec? = nil) {
    (self.listen, self.token, hasToken) = (listen, token, token != nil)
  }
}

/// `worker`, as a front door has parsed it.
package struct PlanWorker {
  package var drain: PlanDuration?
  package var stall: PlanDuration?
  package var dead: PlanDuration?
  /// Bytes.
  package var memory: Int64?
  package var memorySpan: SourceSpan?
  /// `worker.cloudwatch` is written.
  package var hasCloudWatch = false
  package var cloudWatchNamespace: PlanText?
  package var cloudWatchEvery: PlanDuration?
  package var span: SourceSpan?

  package init() {}
}

/// `lake`, as a front door has parsed it. nil: not written.
package struct PlanLake {
  package var path: PlanText?
  /// Settings of the store that it is in, by their own names.
  package var store: [String: String]?
  /// Microseconds.
  package var ledgerKeep: Int64?
  /// Microseconds.
  package var flushEvery: Int64?
  package var flushBytes: PlanSize?
  package var fileSize: PlanSize?
  package var codec: Codec?
  package var format: TableFormatSpec?
  /// The plan has tables whose rows are held until a cut; nil: as the plan says.
  package var keepsRows: Bool?

  package init() {}
}

/// A size of a plan, in bytes.
package struct PlanSize {
  package var bytes: Int64
  package var span: SourceSpan?

  package init(_ bytes: Int64, at span: SourceSpan? = nil) { (self.bytes, self.span) = (bytes, span) }
}

/// Settings of workers and of the lake.
extension PlanBuilder {
  package func admin(_ written: PlanAdmin) {
    var spec = AdminSpec()
    (spec.protectsMetrics, spec.isInsecure, spec.token) = (written.protectsMetrics, written.isInsecure, written.token)
    spec.hosts = written.hosts.map { hosts in
      for host in hosts where !HostAddress.isHost(host.text[...]) {
        diagnostics.report("admin.hosts: \(host.text) is not a host name", "bad_value", at: host.span)
      }
      return hosts.map(\.text)
    }
    if written.hasToken, spec.isInsecure == true {
      diagnostics.report("admin: either token or insecure, not both", "bad_value", at: written.isInsecureSpan)
    }
    if spec.protectsMetrics == true, !written.hasToken {
      diagnostics.report("admin.metrics_token needs admin.token", "missing_key", at: written.protectsMetricsSpan)
    }
    // A warning: the token of the machine that checks need not be that of the one that runs.
    if let weakness = written.tokenValue.flatMap(AdminToken.weakness) {
      diagnostics.report(
        "\(weakness.message); `weir run` refuses it\(weakness.advice.map { ". \($0)" } ?? "")", "bad_token", at: written.tokenSpan,
        severity: .warning)
    }
    if let listen = written.listen {
      guard let address = address(listen, written) else { return }
      spec.listen = address.text
    }
    set { $0.admin = spec }
  }

  private func address(_ listen: PlanText, _ written: PlanAdmin) -> AdminAddress? {
    do throws(WeirError) {
      let address = try AdminAddress(listen.text)
      guard address.isLoopback || written.hasToken || written.isInsecure == true else { throw AdminToken.missing(at: address) }
      return address
    } catch {
      diagnostics.report(
        "admin.listen: \(error.message)\(error.advice.map { ". \($0)" } ?? "")", "bad_value", at: listen.span)
      return nil
    }
  }

  package func worker(_ written: PlanWorker) {
    var spec = WorkerSpec()
    if let drain = duration(written.drain, "worker.drain", within: LiveBounds.drain) { spec.drainMicroseconds = drain }
    if let stall = duration(written.stall, "worker.stall", within: LiveBounds.stall) { spec.stallMicroseconds = stall }
    if let dead = duration(written.dead, "worker.dead", within: LiveBounds.dead) { spec.deadMicroseconds = dead }
    if let memory = written.memory {
      spec.memoryBytes = memory
      if memory < MemoryBudget.least {
        diagnostics.report("worker.memory must be at least \(MemoryBudget.least >> 20)MiB", "bad_value", at: written.memorySpan)
      }
    }
    if spec.deadMicroseconds < spec.stallMicroseconds {
      diagnostics.report("worker.dead must not be shorter than worker.stall", "bad_value", at: written.dead?.span ?? written.span)
    }
    if written.hasCloudWatch { spec.cloudWatch = cloudWatch(written) }
    set { $0.worker = spec }
  }

  private func cloudWatch(_ written: PlanWorker) -> CloudWatchSpec {
    var spec = CloudWatchSpec()
    if let namespace = written.cloudWatchNamespace {
      spec.namespace = namespace.text
      // The rules of CloudWatch's PutMetricData.
      let isValid = namespace.text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "._-/#: ".utf8.contains(byte)
        }
      }
      if !isValid || !(1...255).contains(namespace.text.utf8.count) || namespace.text.hasPrefix("AWS/")
        || namespace.text.allSatisfy({ $0 == " " })
      {
        diagnostics.report(
          "worker.cloudwatch.namespace must be 1 to 255 of the characters A-Z a-z 0-9 . _ - / # : and space, and must not begin with AWS/",
          "bad_value", at: namespace.span)
      }
    }
    if let every = duration(written.cloudWatchEvery, "worker.cloudwatch.every", within: LiveBounds.cloudWatch) {
      spec.everyMicroseconds = every
    }
    return spec
  }

  private func duration(_ written: PlanDuration?, _ what: String, within bounds: LiveBounds.Bounds) -> Int64? {
    guard let written, let value = written.microseconds() else { return nil }
    return diagnostics.isDuration(value, PlanText(written.text, at: written.span), what, within: bounds) ? value : nil
  }

  /// After the tables: how much a cut holds depends on them.
  package func lake(_ written: PlanLake = PlanLake()) {
    let keepsRows = written.keepsRows ?? (plan.bronze != nil || plan.hasSilver)
    var spec = LakeSpec(flushBytes: keepsRows ? LakeSpec.flushBytesWithRows : LakeSpec.flushBytesWithoutRows)
    if let path = written.path, diagnostics.within(.lakePath, { diagnostics.isLake(path, "lake.path") }) { spec.path = path.text }
    spec.store = written.store
    if let keep = written.ledgerKeep { spec.ledgerKeepMicroseconds = keep }
    if let every = written.flushEvery { spec.flushEveryMicroseconds = every }
    if let bytes = written.flushBytes, isSize(bytes, "lake.flush.bytes") { spec.flushBytes = bytes.bytes }
    if let size = written.fileSize, isSize(size, "lake.file_size") { spec.fileSizeBytes = size.bytes }
    if let codec = written.codec { spec.codec = codec }
    spec.format = written.format
    set { $0.lake = spec }
  }

  private func isSize(_ size: PlanSize, _ what: String) -> Bool {
    if size.bytes > 0, size.bytes <= QuantityText.bytesMax { return true }
    diagnostics.report(
      size.bytes > 0
        ? "\(what): \(size.bytes) is more than 1024TiB, the largest size"
        : "\(what): \(size.bytes) is not a size: a number of bytes or with a unit, such as 64MiB or 10MB", "bad_size", at: size.span)
    return false
  }
}
