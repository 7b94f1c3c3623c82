import Synchronization
import WeirCore

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed.
@frozen public struct SplitMix64: RandomNumberGenerator, Sendable {
  @usableFromInline var state: UInt64

  @inlinable public init(seed: UInt64) { state = seed }

  @inlinable public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  @inlinable public mutating func chance(_ probability: Double) -> Bool {
    Double(next() >> 11) / Double(1 << 53) < probability
  }

  /// A number from 0 up to `bound` without it; 0 if there is none.
  @inlinable public mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(max(1, bound))) }
}

/// Counts: 1, 2, 3.
public final class CountingRandom: RandomSource {
  private let last = Atomic<UInt64>(0)

  public init() {}

  public func next() -> UInt64 { last.add(1, ordering: .relaxed).newValue }
}
