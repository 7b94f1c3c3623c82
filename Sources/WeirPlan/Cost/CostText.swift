import WeirCore

/// A bill for people.
package enum CostText {
  package static func text(_ bill: CostBill, pipeline: String) -> String {
    var out = ["pipeline \(pipeline): what its services charge at the plan's settings", "", "inputs"]
    for name in CostInputs.Name.allCases {
      out.append(
        "  \(pad("--" + name.rawValue, 22)) \(pad(number(bill.inputs[name]), 10)) \(bill.inputs.isGiven(name) ? "" : "default")".trimmed)
    }
    out += ["", "prices of \(bill.prices.region), \(bill.prices.date) (\(bill.prices.source))"]
    if let notice = regionNotice(bill) { out.append("  \(notice)") }
    out += ["", "activity"] + activity(bill.activity).map { "  \($0)" }
    for service in bill.services {
      out += ["", "\(service.service)   \(service.place)\(service.isAlternative ? "   not in the total" : "")"]
      if !service.items.isEmpty { out.append(row("", ["per 1M records", "per month", "$ per 1M", "$ per month"])) }
      for line in bill.lines(service) {
        let item = line.item
        out.append(
          row(
            "\(item.unit): \(item.what)",
            [
              quantity(line.perMillionRecords), quantity(line.perMonth), dollars(line.dollarsPerMillionRecords),
              dollars(line.dollarsPerMonth),
            ]))
      }
      if service.items.count > 1 {
        let (sum, isUnpriced) = (bill.sum(service), bill.hasNoPrice(service))
        out.append(row("sum", ["", "", dollars(isUnpriced ? nil : sum.perMillionRecords), dollars(isUnpriced ? nil : sum.perMonth)]))
      }
      out += service.notes.map { "  - \($0)" }
    }
    let total = bill.total
    if bill.services.isEmpty { out += ["", "Nothing that the pipeline uses is charged by a service."] }
    let isUnpriced = bill.isUnpriced
    out += ["", row("total", ["", "", dollars(isUnpriced ? nil : total.perMillionRecords), dollars(isUnpriced ? nil : total.perMonth)])]
    if !bill.missingPrices.isEmpty {
      out.append("  - without what has no price: \(bill.missingPrices.map(\.rawValue).joined(separator: ", "))")
    }
    return (out + ["", "A month has 730 hours. Not included: \(notIncluded.joined(separator: "; "))."]).joined(separator: "\n")
  }

  /// What no bill contains.
  package static let notIncluded = [
    "the workers' machines", "traffic between zones and to the Internet", "keys of KMS", "readers of the tables",
    "starts, stops and retries",
    "free tiers, discounts and taxes",
  ]

  package static func regionNotice(_ bill: CostBill) -> String? {
    if !bill.foreignPrices.isEmpty {
      let names = bill.foreignPrices.map(\.rawValue).joined(separator: ", ")
      return
        "the file of prices does not have \(names): these prices are those of \(PriceTable.builtIn.region), not of \(bill.prices.region)"
    }
    guard let region = bill.region, region != bill.prices.region else { return nil }
    return "the pipeline is in \(region), whose prices differ: give them with --prices (--prices-template prints the form)"
  }

  /// How often things happen, in words.
  static func activity(_ activity: CostActivity) -> [String] {
    let why = activity.cut == .age ? "age: lake.flush.every" : "size: lake.flush.bytes"
    var out = [
      "an epoch per worker every \(seconds(activity.epochSeconds)) (\(why)), of \(quantity(activity.epochRecords)) records",
      "\(quantity(activity.entriesPerSecond * 3600)) ledger entries per hour, \(quantity(activity.commitsPerSecond * 3600)) commits and \(quantity(activity.filesPerSecond * 3600)) data files of \(number(activity.tables)) tables",
    ]
    for state in activity.state {
      let setting = state.isMerged ? "lake.flush, since its rows are merged from the ledger" : "store.flush"
      out.append("state table \(state.name): up to \(quantity(state.rowsPerFlush)) rows every \(seconds(state.flushSeconds)) (\(setting))")
    }
    return out
  }

  // MARK: Layout

  private static let nameWidth = 62

  private static func row(_ name: String, _ columns: [String]) -> String {
    ("  " + pad(name, nameWidth) + columns.map { String(repeating: " ", count: max(1, 16 - $0.count)) + $0 }.joined()).trimmed
  }

  private static func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }

  // MARK: Numbers

  /// Beyond this a number is shown with an exponent.
  private static let plainMax = 1e10

  /// As short as it can be.
  package static func number(_ value: Double) -> String {
    if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
    guard abs(value) < plainMax else { return "\(value)" }
    return decimal(value, digits: 8)
  }

  /// Of requests: with thousands, and fractions only of what is small.
  package static func quantity(_ value: Double) -> String {
    guard value < 1e15 else { return "\(value)" }
    if value >= 100 || value == value.rounded() { return thousands(Int64(value.rounded())) }
    return decimal(value, digits: value >= 1 ? 1 : 4)
  }

  package static func dollars(_ value: Double?) -> String {
    guard let value else { return "no price" }
    guard value < 1e13 else { return "\(value)" }
    guard value >= 0.01 || value == 0 else { return decimal(value, digits: 6) }
    let cents = Int64((value * 100).rounded())
    return "\(thousands(cents / 100)).\(cents % 100 < 10 ? "0" : "")\(cents % 100)"
  }

  private static func seconds(_ value: Double) -> String { "\(quantity(value)) s" }

  private static func decimal(_ value: Double, digits: Int) -> String {
    let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
    let scaled = Int64((abs(value) * scale).rounded())
    let fraction = String(scaled % Int64(scale))
    let padded = String(repeating: "0", count: digits - fraction.count) + fraction
    let short = padded.reversed().drop { $0 == "0" }.reversed()
    return "\(value < 0 ? "-" : "")\(scaled / Int64(scale))\(short.isEmpty ? "" : "." + String(short))"
  }

  private static func thousands(_ value: Int64) -> String {
    var (digits, out) = (String(value)[...], "")
    while digits.count > 3 {
      out = "," + digits.suffix(3) + out
      digits = digits.dropLast(3)
    }
    return digits + out
  }
}

extension String {
  /// Without blanks at its end.
  fileprivate var trimmed: String { String(reversed().drop { $0 == " " }.reversed()) }
}
