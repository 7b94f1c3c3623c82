/// One input of a plan: where its records come from, and what they hold.
public struct PlanInput: Sendable, Hashable, Codable {
  /// Names it in the pipeline file and in the ledger.
  public var name: String
  public var source: SourceSpec
  /// Fields, key, event time and format of its records.
  public var record: RecordSpec
  /// What expressions over its records may refer to.
  public var columns: [InputColumn]

  public init(name: String, source: SourceSpec, record: RecordSpec, columns: [InputColumn]) {
    (self.name, self.source, self.record, self.columns) = (name, source, record, columns)
  }
}

/// What a plan with several inputs has in addition to one with a single input.
public struct SeveralInputs: Sendable, Hashable, Codable {
  /// The name of the input that ``Plan/source``, ``Plan/record`` and ``Plan/inputs`` are about.
  public var first: String
  /// The others, in the order of the file.
  public var others: [PlanInput]

  public init(first: String, others: [PlanInput]) { (self.first, self.others) = (first, others) }
}

extension Plan {
  /// All inputs in the order of the file. The only one of a plan has no name.
  public var everyInput: [PlanInput] {
    [PlanInput(name: severalInputs?.first ?? "", source: source, record: record, columns: inputs)] + (severalInputs?.others ?? [])
  }

  /// What a worker says of a plan that it cannot run.
  public var refusalOfSeveralInputs: String? {
    guard let severalInputs else { return nil }
    let names = ([severalInputs.first] + severalInputs.others.map(\.name)).joined(separator: ", ")
    return
      "this pipeline has \(severalInputs.others.count + 1) inputs (\(names)), but a pipeline can run with one only: tables cannot join inputs yet"
  }
}
