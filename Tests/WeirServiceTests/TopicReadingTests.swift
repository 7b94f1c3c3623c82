import Testing

@testable import WeirLoad

/// What a reading of a loaded partition counts, by the places of its records among those that were sent.
@Suite struct TopicReadingTests {
  private func findings(_ places: [Int64?], sent: Int64, from: Int64 = 0) -> LoadFindings {
    var reading = TopicReading(order: [4, 7, 9], expected: from, sent: sent)
    for place in places { reading.take(place) }
    var findings = LoadFindings(place: "topic/t")
    reading.finish(&findings)
    return findings
  }

  @Test func recordsInTheirOrderAreAllThere() {
    let found = findings([0, 1, 2, 3], sent: 4)
    #expect(found.isGood && found.checked == 4)
    #expect(findings([2, 3], sent: 4, from: 2).isGood, "what was trimmed is no loss")
  }

  @Test func lossRepetitionAndDisorderAreToldApart() {
    #expect(findings([0, 2, 3], sent: 4).lost == 1)
    #expect(findings([0, 1], sent: 4).lost == 2)
    #expect(findings([0, 1, 1, 2], sent: 3).duplicate == 1)
    let late = findings([0, 2, 1], sent: 3)
    #expect(late.disordered == 1 && late.lost == 0 && late.duplicate == 0)
    #expect(findings([0, nil, 1], sent: 2).note != nil)
  }

  /// A partition whose broker states its end too low is read on where the reading stopped.
  @Test func aReadingGoesOnWhereItStopped() {
    var reading = TopicReading(order: [4, 7, 9], expected: 0, sent: 5)
    for place in 0..<3 as Range<Int64> { reading.take(place) }
    #expect(!reading.isWhole)
    for place in 3..<5 as Range<Int64> { reading.take(place) }
    #expect(reading.isWhole)
    var findings = LoadFindings(place: "topic/t")
    reading.finish(&findings)
    #expect(findings.isGood && findings.checked == 5)
  }
}
