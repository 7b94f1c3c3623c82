import WeirCore

/// Bounds the input of an epoch (law 7): while a commit is under way the lanes read on, but no further than the next
/// epoch's bytes, and what these are estimated to hold in memory.
actor InputGate {
  private let bytesMax: Int64
  private(set) var bytes: Int64 = 0
  private var rule: CutRule
  private var waiting: [CheckedContinuation<Void, Never>] = []
  private var isOpen = false
  private var isHeld = false

  init(bytesMax: Int64, rule: CutRule) { (self.bytesMax, self.rule) = (bytesMax, rule) }

  /// The epoch takes as much memory as one may.
  var isHeavy: Bool { rule.isDue }
  /// What the epoch is estimated to hold.
  var heldBytes: Int64 { rule.bytes }

  /// Counts a block in; waits for the next cut when the epoch is full.
  func admit(_ count: Int64) async {
    while bytes >= bytesMax || rule.isDue || isHeld, !isOpen { await withCheckedContinuation { waiting.append($0) } }
    bytes += count
  }

  /// A block that was admitted is decoded: what it holds until the next cut.
  func add(_ weight: BlockWeight) { rule.add(weight) }

  /// The epoch was cut.
  func cut() {
    bytes = 0
    rule.cut()
    wake()
  }

  /// A follower is too far behind: nothing is admitted until it has come nearer.
  func hold(_ isHeld: Bool) {
    guard isHeld != self.isHeld else { return }
    self.isHeld = isHeld
    if !isHeld { wake() }
  }

  /// Nobody waits any more: the end.
  func open() {
    isOpen = true
    wake()
  }

  private func wake() {
    let all = waiting
    waiting = []
    for waiter in all { waiter.resume() }
  }
}
