import WeirCore

/// Something that a service charges for, as often as a pipeline uses it. Pure: adapters make these of a ``CostActivity``.
package struct CostItem: Sendable, Hashable {
  /// What the requests or units are for.
  package var what: String
  /// Such as `PUT`, `write units`.
  package var unit: String
  package var price: PriceTable.Name
  package var perSecond: Double
  /// Requests that make these units, where one request may be several units; nil: one each.
  package var requestsPerSecond: Double?

  package init(_ what: String, unit: String, _ price: PriceTable.Name, perSecond: Double, requestsPerSecond: Double? = nil) {
    (self.what, self.unit, self.price, self.perSecond, self.requestsPerSecond) = (what, unit, price, perSecond, requestsPerSecond)
  }
}

/// What one service charges a pipeline.
package struct ServiceCost: Sendable, Hashable {
  /// Such as `S3`.
  package var service: String
  /// Which bucket, table or address.
  package var place: String
  /// Another way to pay for what another part of the bill contains, or something that other programs share: not in the sum.
  package var isAlternative: Bool
  package var items: [CostItem]
  /// What the numbers assume, and what is not in them.
  package var notes: [String]

  package init(_ service: String, place: String, isAlternative: Bool = false, items: [CostItem], notes: [String] = []) {
    (self.service, self.place, self.isAlternative, self.items, self.notes) = (service, place, isAlternative, items, notes)
  }
}

/// Quantities of ``CostItem``s with their prices.
package struct CostBill: Sendable {
  /// 730 hours, as AWS's calculator has it.
  package static let monthSeconds = 730.0 * 3600

  /// A ``CostItem`` in the units of people.
  package struct Line: Sendable {
    package var item: CostItem
    /// nil: the table has none.
    package var price: PriceTable.Price?
    package var perMillionRecords: Double
    package var perMonth: Double

    package var dollarsPerMillionRecords: Double? { price.map { perMillionRecords * $0.each } }
    package var dollarsPerMonth: Double? { price.map { perMonth * $0.each } }
  }

  package var activity: CostActivity
  package var inputs: CostInputs
  package var prices: PriceTable
  /// Where the pipeline's services are; nil: unknown.
  package var region: String?
  package var isBuiltIn: Bool
  package var services: [ServiceCost]

  package init(
    _ activity: CostActivity, _ inputs: CostInputs, prices: PriceTable, isBuiltIn: Bool, region: String?, services: [ServiceCost]
  ) {
    (self.activity, self.inputs, self.prices, self.isBuiltIn) = (activity, inputs, prices, isBuiltIn)
    (self.region, self.services) = (region, services)
  }

  package func lines(_ service: ServiceCost) -> [Line] {
    service.items.map { item in
      Line(
        item: item, price: prices[item.price], perMillionRecords: item.perSecond / inputs[.recordsPerSecond] * 1_000_000,
        perMonth: item.perSecond * CostBill.monthSeconds)
    }
  }

  /// Dollars of a service, without what has no price.
  package func sum(_ service: ServiceCost) -> (perMillionRecords: Double, perMonth: Double) {
    lines(service).reduce((0, 0)) { ($0.0 + ($1.dollarsPerMillionRecords ?? 0), $0.1 + ($1.dollarsPerMonth ?? 0)) }
  }

  /// Prices that a service needs and the table does not have.
  package func absentPrices(of service: ServiceCost) -> [PriceTable.Name] {
    let missing = Set(service.items.map(\.price).filter { prices[$0] == nil })
    return PriceTable.Name.allCases.filter { missing.contains($0) }
  }

  /// Whether nothing that a service charges for has a price.
  package func hasNoPrice(_ service: ServiceCost) -> Bool {
    !service.items.isEmpty && service.items.allSatisfy { prices[$0.price] == nil }
  }

  /// Prices that the total would need and does not contain.
  package var missingPrices: [PriceTable.Name] {
    let missing = Set(services.filter { !$0.isAlternative }.flatMap { absentPrices(of: $0) })
    return PriceTable.Name.allCases.filter { missing.contains($0) }
  }

  /// Nothing in the total has a price, though services charge for something.
  package var isUnpriced: Bool {
    let counted = services.filter { !$0.isAlternative && !$0.items.isEmpty }
    return !counted.isEmpty && counted.allSatisfy { hasNoPrice($0) }
  }

  /// Prices of another region that are used, since the file of prices does not have them.
  package var foreignPrices: [PriceTable.Name] {
    let used = Set(services.flatMap { $0.items.map(\.price) })
    return PriceTable.Name.allCases.filter { prices.foreign.contains($0) && used.contains($0) }
  }

  /// Dollars of everything that has a price, without alternatives.
  package var total: (perMillionRecords: Double, perMonth: Double) {
    services.filter { !$0.isAlternative }.map { sum($0) }.reduce((0, 0)) { ($0.0 + $1.perMillionRecords, $0.1 + $1.perMonth) }
  }
}
