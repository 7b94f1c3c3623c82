/// A count and a sum, mergeable.
struct Tally: Sendable, Equatable {
  var count = 0
  var sum = 0

  mutating func add(_ amount: Int) {
    count += 1
    sum += amount
  }

  static func += (a: inout Tally, b: Tally) {
    a.count += b.count
    a.sum += b.sum
  }
}
