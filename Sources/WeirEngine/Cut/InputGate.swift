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
  /// Rung when the epoch is full.
  private let alarm: Alarm
  private let meter: LiveMeter?

  init(bytesMax: Int64, rule: CutRule, alarm: Alarm = Alarm(), meter: LiveMeter? = nil) {
    (self.bytesMax, self.rule, self.alarm, self.meter) = (bytesMax, rule, alarm, meter)
  }

  /// The epoch takes as much memory as one may.
  var isHeavy: Bool { rule.isDue }

  /// Counts a block in; waits for the next cut when the epoch is full.
  func admit(_ count: Int64) async {
    while isFull || isHeld, !isOpen { await withCheckedContinuation { waiting.append($0) } }
    bytes += count
    filled()
  }

  /// A block that was admitted is decoded: what it holds until the next cut.
  func add(_ weight: BlockWeight) {
    rule.add(weight)
    filled()
  }

  private var isFull: Bool { bytes >= bytesMax || rule.isDue }

  private func filled() {
    meter?.filling(bytes: bytes, held: rule.bytes)
    if isFull { alarm.ring() }
  }

  /// The epoch was cut.
  func cut() {
    bytes = 0
    rule.cut()
    meter?.filling(bytes: 0, held: 0)
    wake()
  }

  /// A follower is too far behind: nothing is admitted until it has caught up.
  func hold(_ isHeld: Bool) {
    guard isHeld != self.isHeld else { return }
    self.isHeld = isHeld
    if !isHeld { wake() }
  }

  /// Releases all waiters: the end.
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
