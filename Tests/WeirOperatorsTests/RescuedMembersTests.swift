import Testing
import WeirCore
import WeirTesting

@testable import WeirOperators

/// What no field reads, by examples. A driver compares random records with a model.
@Suite struct RescuedMembersTests {
  private static let fields = [
    Field(name: "id", type: .string, required: true), Field(name: "user", type: .int64, path: [.name("user"), .name("id")]),
    Field(name: "city", type: .string, path: [.name("user"), .name("address"), .name("city")]),
    Field(name: "sku", type: .string, path: [.name("items"), .index(1), .name("sku")]), .rescued,
  ]

  private func rescued(_ line: String, fields: [Field] = fields, read: [Bool]? = nil) -> Literal {
    let block = RecordDecoder(fields: fields, read: read).decode(RawBlock(records: [Array(line.utf8)]))
    return block.columns[fields.count - 1].literal(0)
  }

  @Test(arguments: [
    (#"{"id":"a"}"#, nil), (#"{"id":"a","user":{"id":1,"address":{"city":"x"}},"items":[1]}"#, #"{"items":[1]}"#),
    (#"{"id":"a","new":1}"#, #"{"new":1}"#), (#"{ "new" : [1, {"a":"}"}] , "id":"a","b":null}"#, #"{"new" : [1, {"a":"}"}],"b":null}"#),
    (#"{"id":"a","user":{"id":1,"name":"Eva","address":{"zip":1,"city":"x"}}}"#, #"{"user":{"name":"Eva","address":{"zip":1}}}"#),
    (#"{"id":"a","user":{"address":{"zip":1}},"x":{}}"#, #"{"user":{"address":{"zip":1}},"x":{}}"#),
    (#"{"id":"a","user":null,"items":null}"#, nil), (#"{"id":"a","user":5,"items":{}}"#, #"{"user":5,"items":{}}"#),
    (#"{"id":"a","user":{"address":null}}"#, nil), (#"{"id":"a","user":{"address":[1]}}"#, #"{"user":{"address":[1]}}"#),
    (#"{"id":"a","items":[null,{"sku":"s"}]}"#, nil), (#"{"id":"a","items":[0,{"sku":"s"}]}"#, #"{"items":[0,{"sku":"s"}]}"#),
    (#"{"id":"a","items":[null,{"n":{"m":2}}],"z":1}"#, #"{"items":[null,{"n":{"m":2}}],"z":1}"#),
    (#"{"id":"a","_rescued":"mine"}"#, #"{"_rescued":"mine"}"#),
    (#"{"\u0069d":"a","us\u0065r":{"n":1}}"#, #"{"us\u0065r":{"n":1}}"#),
  ])
  func whatNoFieldReadsIsKeptWithTheNamesAboveIt(_ line: String, _ wanted: String?) {
    #expect(rescued(line) == (wanted.map { .string($0) } ?? .null))
  }

  @Test func aRejectedRecordLeavesNothingToTheNextOne() {
    let lines = [#"{"x":1,"id":"a","y":{"#, #"{"id":"b"}"#, #"{"x":1,"id":2}"#, #"{"id":"c","z":3}"#]
    let block = RecordDecoder(fields: Self.fields).decode(RawBlock(records: lines.map { Array($0.utf8) }))
    #expect(block.valid == [false, true, false, true])
    #expect((0..<4).map { block.columns[4].literal($0) } == [.null, .null, .null, .string(#"{"z":3}"#)])
  }

  @Test func aRecordThatIsReadAgainWithoutOverriddenMembersHasItsOwn() {
    #expect(rescued(#"{"id":1,"x":2,"id":"a"}"#) == .string(#"{"x":2}"#))
  }

  @Test func aColumnThatIsNotReadIsNotMade() {
    let record = Array(#"{"id":"a","x":1}"#.utf8)
    let block = RecordDecoder(fields: Self.fields, read: [true, true, true, true, false]).decode(RawBlock(records: [record]))
    #expect(block.valid == [true])
  }
}
