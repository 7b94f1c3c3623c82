import WeirCore

/// `weir explain --cost --json`: a contract for programs, documented in Cost.md.
///
/// Members may be added; none is removed or changes its meaning without another ``format``. All members are always there. Quantities and
/// dollars are numbers; what has no price is null.
package enum CostDocument {
  static let format: Int64 = 1

  package static func json(_ bill: CostBill, pipeline: String) -> JSONValue {
    let total = bill.total
    return .members([
      "format": .int(format), "pipeline": .string(pipeline),
      "prices": .members([
        "date": .string(bill.prices.date), "region": .string(bill.prices.region), "source": .string(bill.prices.source),
        "built_in": .bool(bill.isBuiltIn), "notice": CostText.regionNotice(bill).map { .string($0) } ?? .null,
      ]),
      "inputs": .array(
        CostInputs.Name.allCases.map { name in
          .members([
            "name": .string(name.rawValue), "value": number(bill.inputs[name]), "is_default": .bool(!bill.inputs.isGiven(name)),
          ])
        }),
      "activity": activity(bill.activity),
      "services": .array(bill.services.map { service($0, bill) }),
      "total": .members([
        "dollars_per_million_records": bill.isUnpriced ? .null : number(total.perMillionRecords),
        "dollars_per_month": bill.isUnpriced ? .null : number(total.perMonth),
        "without_price": .array(bill.missingPrices.map { .string($0.rawValue) }),
      ]),
      "not_included": .array(CostText.notIncluded.map { .string($0) }),
    ])
  }

  private static func activity(_ activity: CostActivity) -> JSONValue {
    .members([
      "epoch_seconds": number(activity.epochSeconds), "cut_by": .string(activity.cut.rawValue),
      "entries_per_second": number(activity.entriesPerSecond), "files_per_second": number(activity.filesPerSecond),
      "commits_per_second": number(activity.commitsPerSecond), "tables": number(activity.tables),
      "state": .array(
        activity.state.map {
          .members([
            "table": .string($0.name), "rows_per_flush": number($0.rowsPerFlush), "flush_seconds": number($0.flushSeconds),
            "merged": .bool($0.isMerged),
          ])
        }),
    ])
  }

  private static func service(_ service: ServiceCost, _ bill: CostBill) -> JSONValue {
    let sum = bill.sum(service)
    return .members([
      "service": .string(service.service), "place": .string(service.place), "in_total": .bool(!service.isAlternative),
      "lines": .array(bill.lines(service).map(line)), "notes": .array(service.notes.map { .string($0) }),
      "dollars_per_million_records": bill.hasNoPrice(service) ? .null : number(sum.perMillionRecords),
      "dollars_per_month": bill.hasNoPrice(service) ? .null : number(sum.perMonth),
    ])
  }

  private static func line(_ line: CostBill.Line) -> JSONValue {
    .members([
      "what": .string(line.item.what), "unit": .string(line.item.unit), "price": .string(line.item.price.rawValue),
      "per_second": number(line.item.perSecond),
      "requests_per_million_records": number(
        (line.item.requestsPerSecond ?? line.item.perSecond) * line.perMillionRecords / max(line.item.perSecond, .leastNonzeroMagnitude)),
      "per_million_records": number(line.perMillionRecords), "per_month": number(line.perMonth),
      "dollars_per_million_records": line.dollarsPerMillionRecords.map(number) ?? .null,
      "dollars_per_month": line.dollarsPerMonth.map(number) ?? .null,
    ])
  }

  /// JSON has no infinity, and no number of these is one.
  private static func number(_ value: Double) -> JSONValue { value.isFinite ? .number("\(value)") : .null }
}
