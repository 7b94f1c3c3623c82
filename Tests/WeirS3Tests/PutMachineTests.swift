import Testing
import WeirCore
import WeirTesting

@testable import WeirS3

@Suite struct PutMachineTests {
  /// What the service can answer to a request, and what a read can find.
  private static let answers: [PutMachine.Event] = [
    .created, .exists, .conflict("409"), .uploadGone("404"), .failed("503"), .unknown("500"),
  ]
  private static let founds: [PutMachine.Found] = [.ours, .another, .nothing, .unclear("timeout")]

  /// All ways through the machine up to a depth: by each way, the events and the outcome.
  private func ways(
    _ machine: PutMachine, _ action: PutMachine.Action, _ events: [PutMachine.Event], _ end: ([PutMachine.Event], PutOutcome?) -> Void
  ) {
    func follow(_ event: PutMachine.Event) {
      var next = machine
      let action = next.event(event)
      ways(next, action, events + [event], end)
    }
    if case .finish(let outcome) = action { return end(events, outcome) }
    guard events.filter({ $0 != .rested }).count < 5 else { return end(events, nil) }
    switch action {
    case .send: for answer in PutMachineTests.answers { follow(answer) }
    case .readBack: for found in PutMachineTests.founds { follow(.found(found)) }
    case .rest: follow(.rested)
    case .finish: break
    }
  }

  @Test func `it says created only for what is ours, and exists only for what was there`() {
    var count = 0
    let machine = PutMachine()
    ways(machine, machine.begin, []) { events, outcome in
      count += 1
      switch outcome {
      case .created: #expect(events.last == .created || events.last == .found(.ours), "\(events)")
      case .exists: #expect(events.last == .found(.another) || events.last == .found(.nothing) && events.contains(.exists), "\(events)")
      case .unknown, nil:
        #expect(!events.contains(.created) && !events.contains(.found(.ours)) && !events.contains(.found(.another)), "\(events)")
      }
    }
    #expect(count > 100)
  }

  @Test func `it ends after a bounded number of requests, whatever the answers are`() {
    for seed in 0..<UInt64(2000 / Cases.step(debug: 4)) {
      var (machine, random) = (PutMachine(), SplitMix64(seed: seed))
      var (action, requests) = (machine.begin, 0)
      while true {
        if case .finish = action { break }
        guard requests < 100 else {
          Issue.record("seed \(seed)")
          return
        }
        switch action {
        case .send:
          requests += 1
          // No answers that end it at once.
          action = machine.event([.conflict("409"), .unknown("500")][random.below(2)])
        case .readBack:
          requests += 1
          action = machine.event(.found([.nothing, .unclear("timeout")][random.below(2)]))
        case .rest(let tries):
          #expect(tries > 0)
          action = machine.event(.rested)
        case .finish: break
        }
      }
      #expect(requests <= PutMachine.triesMax * (1 + PutMachine.readsMax), "seed \(seed)")
    }
  }
}
