import Testing
import WeirCore

@testable import WeirLoad

@Suite struct LoadPlanTests {
  @Test(arguments: ["ramp:0..5000/s,3s", "ramp:9000..10/s,2s", "step:100,7000,300/s,1s", "burst:50..9000/s,2s,300ms,7s"])
  func aRecordIsDueWhenThePlanHasCountedUpToIt(text: String) throws {
    let plan = try LoadPlan(text)
    var last: Int64 = 0
    for number in 1...plan.total {
      let time = plan.time(of: number)
      #expect(time >= last, "record \(number) is due before the one before it")
      last = time
      // A microsecond on both sides: the times are rounded.
      #expect(plan.due(after: time + 1000) >= number && plan.due(after: max(0, time - 1000)) <= number, "record \(number) at \(time)")
    }
    #expect(last <= Int64(plan.seconds * 1e9) && plan.due(after: .max / 2) == plan.total)
  }

  @Test func evenStretchesNeverGoOverAChangeOfTheRate() throws {
    let plan = try LoadPlan("step:1000,3000/s,1s")
    #expect(plan.even(from: 1, count: 400) == 400 && plan.even(from: 900, count: 400) == 101 && plan.even(from: 1001, count: 400) == 400)
    #expect(try LoadPlan("ramp:1..100/s,10s").even(from: 5, count: 50) == 1)
  }

  @Test(arguments: [
    "ramp:1..2", "ramp:1,2/s,3s", "step:/s,1s", "burst:1..2/s,1s,2s,10s", "step:1/s,-1s", "jump:1/s,1s", "step:1e12/s,1s", "",
  ])
  func whatIsNoPlanIsRefused(text: String) { #expect(throws: WeirError.self) { try LoadPlan(text) } }

  @Test(arguments: [(1000, 9.3e15), (1e8, 1e300), (1, 0.5), (1000, -1), (1000, 25 * 3600)] as [(Double, Double)])
  func aLoadBeyondADayOrOfNothingIsRefused(rate: Double, seconds: Double) {
    let error = #expect(throws: WeirError.self) { try LoadPlan(rate: rate, seconds: seconds) }
    #expect(error?.code == .config)
  }

  @Test func anIdTellsRunTimeAndNumberOfItsRecord() throws {
    let templates = try LoadTemplates(GeneratorSettings(.orders), count: 100, run: 0x00AB_CDEF, partitions: 3, partitioner: .murmur2)
    let time = Array("1234567890123".utf8)
    for (number, microseconds) in [(Int64(0), Int64(0)), (77, 1_234_567), (0xFFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF)] {
      let template = templates.all[Int(number % 100)]
      time.withUnsafeBufferPointer { templates.stamp(template, number: number, microseconds: microseconds, time: $0.baseAddress!) }
      let text = Array(UnsafeBufferPointer(start: templates.text + template.start, count: template.length))
      let value = try JSONValue(parsing: text)
      let name = try #require(value["order_id"]?.string)
      let id = try #require(LoadTemplates.read(id: name.utf8))
      #expect(id.run == 0x00AB_CDEF && id.microseconds == microseconds && id.number == number)
      #expect(value["ordered_at"]?.int == 1_234_567_890_123 && value["customer_id"]?.string == templates.keys[template.keyNumber])
    }
  }

  @Test func whatWasSentOfEachKeyIsKnownWithoutCounting() throws {
    let templates = try LoadTemplates(GeneratorSettings(.trades), count: 70, run: 1, partitions: 2, partitioner: .murmur2)
    for sent in [0, 1, 69, 70, 71, 1234] {
      var counted = [Int64](repeating: 0, count: templates.keys.count)
      for number in 0..<sent { counted[templates.all[number % 70].keyNumber] += 1 }
      let rest = templates.counts(first: sent % 70)
      #expect(templates.keys.indices.map { templates.count(ofKey: $0, sent: Int64(sent), templates: rest) } == counted)
    }
  }
}
