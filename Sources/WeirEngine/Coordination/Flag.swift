import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// A flag that one task raises and others look at.
final class Flag: Sendable {
  private let value = Atomic(false)
  func raise() { value.store(true, ordering: .releasing) }
  var isRaised: Bool { value.load(ordering: .acquiring) }
}
