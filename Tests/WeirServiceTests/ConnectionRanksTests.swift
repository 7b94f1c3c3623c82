import Testing

@testable import WeirAdmin

/// Which of the admin server's connections a further one replaces.
struct ConnectionRanksTests {
  private let start = ContinuousClock.now
  private var later: ContinuousClock.Instant { start + ConnectionRanks.newMax + .seconds(1) }

  /// Connections 1 to 4, each with its number as socket.
  private func four() -> ConnectionRanks {
    var ranks = ConnectionRanks()
    for id in 1...4 { ranks.open(UInt(id), socket: Int32(id), at: start) }
    return ranks
  }

  @Test func `the connection that has been quiet for the longest time is closed`() {
    var ranks = four()
    ranks.mark(1, isBusy: true)
    ranks.mark(1, isBusy: false)
    ranks.open(9, socket: 9, at: later)
    #expect(ranks.evict(for: 9, at: later) == 2)
    #expect(ranks.evict(for: 9, at: later) == 3)
    #expect(ranks.count == 3)
  }

  @Test func `a connection that is answering is closed only where all are, and then the one with the most requests`() {
    var ranks = four()
    for id in [1, 2, 3] as [UInt] { ranks.mark(id, isBusy: true) }
    for isBusy in [false, true] { ranks.mark(3, isBusy: isBusy) }
    ranks.open(9, socket: 9, at: later)
    #expect(ranks.evict(for: 9, at: later) == 4)
    #expect(ranks.evict(for: 9, at: later) == 3)
    #expect(ranks.evict(for: 9, at: later) == 1)
  }

  @Test func `a connection that was opened just now has time for its request`() {
    var ranks = four()
    ranks.mark(1, isBusy: true)
    ranks.mark(1, isBusy: false)
    ranks.open(9, socket: 9, at: start)
    #expect(ranks.evict(for: 9, at: start) == 1)
  }

  @Test func `a connection is never replaced by itself, and one that ended is not closed again`() {
    var ranks = ConnectionRanks()
    ranks.open(9, socket: 9, at: start)
    #expect(ranks.evict(for: 9, at: later) == nil)
    ranks.open(1, socket: 1, at: start)
    ranks.close(1)
    ranks.mark(1, isBusy: false)
    #expect(ranks.evict(for: 9, at: later) == nil)
    #expect(ranks.count == 1)
  }
}
