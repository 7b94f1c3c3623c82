import Testing
import WeirCore

@testable import WeirDelta

/// When a follower commits without a look for others' versions.
@Suite struct OwnVersionsTests {
  private let least = Int64(OwnVersions.least)

  @Test func `only after several versions of its own in a row, and not long ago`() {
    var own = OwnVersions()
    #expect(!own.isLong(through: -1, at: 0))
    for version in 5..<5 + least {
      #expect(!own.isLong(through: version - 1, at: 1))
      own.ended(.created, version: version, at: 1)
    }
    let last = 4 + least
    #expect(own.isLong(through: last, at: 1) && own.isLong(through: last, at: OwnVersions.nanosecondsMax))
    #expect(!own.isLong(through: last, at: 1 + OwnVersions.nanosecondsMax))
    #expect(!own.isLong(through: last + 1, at: 1) && !own.isLong(through: last - 1, at: 1))
  }

  @Test(arguments: [PutOutcome.exists, .unknown("")]) func `a version that another worker may have made ends the row`(outcome: PutOutcome) {
    var own = OwnVersions()
    for version in 0..<2 * least { own.ended(.created, version: version, at: 1) }
    own.ended(outcome, version: 2 * least, at: 1)
    #expect(!own.isLong(through: 2 * least - 1, at: 1))
    // The same where another's versions lie between.
    for version in 20..<20 + least - 1 { own.ended(.created, version: version, at: 1) }
    #expect(!own.isLong(through: 18 + least, at: 1))
  }
}
