import WeirCore
import WeirPlan
import Yams

extension YAMLReader {
  /// Whether a list or mapping has no more entries than it may; reported if not.
  func isBounded(_ count: Int, _ what: String, at node: Node?) -> Bool {
    list.isBounded(count, what, at: node?.span)
  }

  /// A duration, as microseconds, within bounds.
  func duration(_ node: Node, _ what: String, within bounds: LiveBounds.Bounds) -> Int64? {
    duration(node, what).flatMap { list.isDuration($0, PlanText(node.string ?? "", at: node.span), what, within: bounds) ? $0 : nil }
  }

  /// A size, as bytes, within bounds.
  func bytes(_ node: Node, _ what: String, within bounds: LiveBounds.Bounds) -> Int64? {
    bytes(node, what).flatMap { list.isSize($0, PlanText(node.string ?? "", at: node.span), what, within: bounds) ? $0 : nil }
  }
}
