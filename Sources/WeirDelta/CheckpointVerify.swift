import WeirCore

extension DeltaTable {
  /// What is wrong with the newest checkpoint; nil if nothing is, or there is none.
  ///
  /// It must be readable, and say what the commits say as long as all of them are there. Statistics and tombstones are
  /// left out: other programs' checkpoints may leave them out too.
  package func checkpointProblem(_ log: DeltaLog) async throws -> String? {
    guard let newest = log.checkpoints.first else { return nil }
    let said: DeltaSnapshot
    do {
      said = try await read(newest, DeltaSnapshot())
    } catch let error as WeirError where error.code == .corrupt {
      return error.message
    }
    guard log.firstCommit == 0 else { return nil }
    var told = DeltaSnapshot()
    do {
      while told.version < newest.version, try await advanceOnce(&told) {}
    } catch is WeirError {
      // A failure of the commit, not of the checkpoint.
      return nil
    }
    guard told.version == newest.version, let difference = said.difference(from: told) else { return nil }
    return "\(newest.parts.first?.path ?? path): \(difference) not what the commits say"
  }
}

extension DeltaSnapshot {
  /// What differs in what both must agree on; nil if nothing does.
  fileprivate func difference(from other: DeltaSnapshot) -> String? {
    if metadata != other.metadata { return "the metadata is" }
    if transactions != other.transactions { return "the transactions are" }
    if files.count != other.files.count { return "the number of files is" }
    for (path, file) in files {
      guard let same = other.files[path], same.bytes == file.bytes, same.partitions == file.partitions else { return "the file \(path) is" }
    }
    return nil
  }
}

extension DeltaAdd {
  /// Delta reads the empty text as null.
  fileprivate var partitions: [String: String] {
    var values: [String: String] = [:]
    for (name, value) in partitionValues { values[name] = value ?? "" }
    return values
  }
}
