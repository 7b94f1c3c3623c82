import Foundation
import Testing
import WeirCore

@testable import WeirOperators

@Suite struct CoercionTests {
  private func read(_ json: String, _ type: ColumnType, _ encoding: FieldEncoding = .natural, _ coerce: Coercion? = Coercion()) -> (
    Literal, String?
  ) {
    let field = Field(name: "v", type: type, encoding: encoding, coerce: coerce)
    let block = RecordDecoder(fields: [field]).decode(RawBlock(records: [Array("{\"v\": \(json)}".utf8)]))
    return (block.columns[0].literal(0), block.rejections.first?.rejection.reason)
  }

  @Test func textsAreNumbersAndTruth() {
    #expect(read("\" +007 \"", .int64).0 == .int64(7))
    #expect(read("7", .int64).0 == .int64(7))
    #expect(read("\".5\"", .double).0 == .double(0.5))
    #expect(read("\"9.9\"", .decimal(precision: 12, scale: 2)).0 == .decimal(990, precision: 12, scale: 2))
    #expect(read("\"TRUE\"", .bool).0 == .bool(true))
    #expect(read("false", .bool).0 == .bool(false))
    #expect(read("12.50", .string).0 == .string("12.50"))
    #expect(read("null", .bool).1 == nil)
  }

  @Test(arguments: ["\"12,50\"", "\"\"", "\"NaN\"", "\"1.5\"", "true", "{}", "[1]"]) func otherTextsAreNot(_ json: String) {
    #expect(read(json, .int64).1?.hasPrefix("field v: ") == true)
  }

  @Test func nanosecondsAreRoundedDown() {
    #expect(read("\"1714550400120190987\"", .timestamp, .nanoseconds).0 == .timestamp(1_714_550_400_120_190))
    #expect(read("-1", .timestamp, .nanoseconds, nil).0 == .timestamp(-1))
  }

  @Test func localTimesAreOfTheirZone() {
    let berlin = Coercion(zone: "Europe/Berlin")
    func utc(_ text: String) -> String? {
      guard case .timestamp(let time) = read("\"\(text)\"", .timestamp, .natural, berlin).0 else { return nil }
      return CivilTime.text(ofMicroseconds: time)
    }
    #expect(utc("2026-03-27 00:06:45") == "2026-03-26T23:06:45Z")
    #expect(utc("2026-07-01T12:00:00.5") == "2026-07-01T10:00:00.500Z")
    #expect(utc("2026-07-01") == "2026-06-30T22:00:00Z")
    #expect(utc("2026-07-01T12:00:00Z") == "2026-07-01T12:00:00Z")
    // Does not exist: as with the offset before. Exists twice: the earlier one.
    #expect(utc("2026-03-29 02:30:00") == "2026-03-29T01:30:00Z")
    #expect(utc("2026-10-25 02:30:00") == "2026-10-25T00:30:00Z")
    // By the rule after the table.
    #expect(utc("2150-07-01 12:00:00") == "2150-07-01T10:00:00Z")
  }

  @Test func formsAreTriedInTheirOrder() {
    let coerce = Coercion(zone: "UTC", formats: ["%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d", "%m/%d/%y %I:%M %p"])
    #expect(read("\"01/Mar/2026:13:00:00 +0100\"", .timestamp, .natural, coerce).0 == .timestamp(1_772_366_400_000_000))
    #expect(read("\"2026-03-01\"", .timestamp, .natural, coerce).0 == .timestamp(1_772_323_200_000_000))
    #expect(read("\"03/01/26 12:00 am\"", .timestamp, .natural, coerce).0 == .timestamp(1_772_323_200_000_000))
    #expect(read("\"01/Mrz/2026:13:00:00 +0100\"", .timestamp, .natural, coerce).1?.contains("not a time of the 3 forms") == true)
    #expect(read("\"2026-02-30\"", .timestamp, .natural, coerce).1 != nil)
  }

  @Test(arguments: ["%Q", "%", "%H:%M", "%Y-%m-%d %I"]) func whatIsNoFormIsRefused(_ text: String) {
    #expect(throws: TimeFormat.Fault.self) { try TimeFormat(text) }
  }

  @Test(arguments: [
    ("%Y-%m-%Y", 6), ("%F %d", 3), ("%Y-%m-%d %T %M", 12), ("%Y-%m-%d %H %I %p", 12), ("%d.%b.%m.%Y", 6), ("%F %z %z", 6), ("%F %é", 3),
  ]) func aFormSaysEachPartOfATimeOnce(_ text: String, _ offset: Int) {
    do throws(TimeFormat.Fault) {
      _ = try TimeFormat(text)
      Issue.record("it is a form")
    } catch {
      #expect(error.offset == offset)
      #expect(error.reason.contains(text.contains("é") ? "no directive %é" : "says once more"))
    }
  }

  @Test func zonesOfAMachineAreNamed() {
    for name in ["localtime", "posixrules", "right/Europe/Berlin", "Factory"] { #expect(ZoneRules.otherKind(name) != nil) }
    for name in ["Europe/Berlin", "UTC", "EST5EDT", "Etc/GMT+1"] { #expect(ZoneRules.otherKind(name) == nil) }
  }

  @Test(arguments: ["../etc/passwd", "/etc/passwd", "", "Europe/Berlim", "a b", "zone.tab"]) func noOtherFileIsAZone(_ name: String) {
    #expect(ZoneRules.named(name) == nil)
  }

  @Test func aDamagedZoneFileIsNone() {
    #expect(ZoneRules(file: []) == nil)
    #expect(ZoneRules(file: Array("TZif2".utf8) + [UInt8](repeating: 0xFF, count: 100)) == nil)
  }

  /// A change of clocks in a year that no time has, and the smallest number as one.
  @Test(arguments: [[0, 0, 0x40, 0, 0, 0, 0, 0], [0x80, 0, 0, 0, 0, 0, 0, 0]] as [[UInt8]])
  func aChangeBeyondAllYearsIsNoTrap(_ time: [UInt8]) {
    let magic = Array("TZif2".utf8) + [UInt8](repeating: 0, count: 15)
    let counts: [UInt8] = [UInt8](repeating: 0, count: 15) + [1] + [0, 0, 0, 1] + [0, 0, 0, 4]
    let table = time + [0] + [0, 0, 14, 16, 0, 0] + Array("CET\0".utf8)
    let file = magic + [UInt8](repeating: 0, count: 24) + magic + counts + table + Array("\nCET-1CEST,M3.5.0,M10.5.0/3\n".utf8)
    #expect((ZoneRules(file: file)?.utcOffset(atLocal: 0)).map { $0 == 3600 } ?? (time[0] == 0x80))
  }

  @Test func aFieldWithoutCoercionIsWrittenAsBefore() throws {
    let text = String(decoding: try JSONEncoder().encode(Field(name: "v", type: .int64)), as: UTF8.self)
    #expect(!text.contains("coerce"), "ledgers keep plans by their text")
  }
}
