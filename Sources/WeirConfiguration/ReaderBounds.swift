import WeirCore
import WeirOperators
import WeirPlan
import Yams

extension YAMLReader {
  /// Whether a list or mapping has no more entries than it may; reported if not.
  func isBounded(_ count: Int, _ what: String, at node: Node?) -> Bool {
    list.isBounded(count, what, at: node?.span)
  }
}

extension YAMLReader {
  /// A duration, as microseconds, within bounds.
  func duration(_ node: Node, _ what: String, within bounds: LiveBounds.Bounds) -> Int64? {
    duration(node, what).flatMap { within(bounds, $0, QuantityText.microseconds, node, what, "bad_duration") }
  }

  /// A size, as bytes, within bounds.
  func bytes(_ node: Node, _ what: String, within bounds: LiveBounds.Bounds) -> Int64? {
    bytes(node, what).flatMap { within(bounds, $0, QuantityText.bytes, node, what, "bad_size") }
  }

  private func within(
    _ bounds: LiveBounds.Bounds, _ value: Int64, _ quantity: (String) -> Int64?, _ node: Node, _ what: String, _ code: String
  ) -> Int64? {
    guard let least = quantity(bounds.least), let most = quantity(bounds.most) else { preconditionFailure("a bound is not a quantity") }
    if value >= least, value <= most { return value }
    report("\(what): \(node.string ?? "") is not from \(bounds.least) to \(bounds.most)", code, at: node)
    return nil
  }
}
