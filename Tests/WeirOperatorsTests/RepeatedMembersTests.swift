import Testing
import WeirCore

@testable import WeirOperators

/// Of members with one name the last counts, also where the types of the others are wrong.
@Suite struct RepeatedMembersTests {
  /// A document with repeated names, as it is written.
  private indirect enum Document {
    case scalar(String)
    case array([Document])
    case object([(name: String, value: Document)])

    var text: String {
      switch self {
      case .scalar(let text): text
      case .array(let items): "[" + items.map(\.text).joined(separator: ", ") + "]"
      // Every second name is written with an escape.
      case .object(let members):
        "{"
          + members.enumerated().map { i, member in
            "\"\(i % 2 == 1 && member.name == "a" ? "\\u0061" : member.name)\" : \(member.value.text)"
          }.joined(separator: ",") + "}"
      }
    }

    /// The oracle: each name once, with the last value, at the place of the first.
    var single: Document {
      switch self {
      case .scalar: return self
      case .array(let items): return .array(items.map(\.single))
      case .object(let members):
        var kept: [(name: String, value: Document)] = []
        for member in members {
          if let i = kept.firstIndex(where: { $0.name == member.name }) {
            kept[i].value = member.value.single
          } else {
            kept.append((member.name, member.value.single))
          }
        }
        return .object(kept)
      }
    }
  }

  private static let fields: [Field] = [
    Field(name: "a", type: .string), Field(name: "n", type: .int64, required: true), Field(name: "t", type: .timestamp),
    Field(name: "x", type: .string, path: [.name("o"), .name("a")]),
    Field(name: "y", type: .int64, path: [.name("o"), .name("l"), .index(1)]),
    Field(name: "l", type: .list(element: .string)), Field(name: "m", type: .map(value: .int64)),
    Field(name: "s", type: .structure(members: [StructMember("a", .int64), StructMember("m", .map(value: .string))])),
  ]

  private struct Generator {
    var state: UInt64

    mutating func next(_ n: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % n
    }

    /// Mostly what fits some field.
    mutating func value(_ depth: Int) -> Document {
      switch depth > 2 ? next(6) : next(10) {
      case 0: .scalar("null")
      case 1, 2: .scalar("\(next(100))")
      case 3, 4: .scalar("\"v\(next(100))\"")
      case 5: .scalar(["true", "1.5", "\"\\ud800\"", "\"2026-01-01T00:00:00Z\"", "\"\"", "{}", "[]"][next(7)])
      case 6: .array((0..<next(4)).map { _ in value(depth + 1) })
      default: object(depth + 1, ["a", "l", "m", "k"])
      }
    }

    mutating func object(_ depth: Int, _ names: [String]) -> Document {
      .object((0..<next(7)).map { _ in (names[next(names.count)], value(depth)) })
    }

    /// Repeats until the last values fit, often.
    mutating func record() -> Document {
      guard case .object(var members) = object(0, ["a", "n", "t", "o", "l", "m", "s", "z"]) else { preconditionFailure() }
      let right: [(String, Document)] = [
        ("n", .scalar("7")), ("a", .scalar("\"x\"")), ("t", .scalar("null")), ("l", .array([.scalar("\"q\"")])), ("m", .scalar("{}")),
        ("s", .scalar("null")), ("o", .scalar("null")),
      ]
      for member in right where next(4) != 0 { members.append((member.0, member.1)) }
      return .object(members)
    }
  }

  private func decode(_ lines: [String]) -> DecodedBlock {
    RecordDecoder(fields: Self.fields).decode(RawBlock(records: lines.map { Array($0.utf8) }))
  }

  @Test(arguments: [UInt64(1), 2, 3]) func aRandomDocumentIsReadAsTheOneWithoutRepeats(_ seed: UInt64) {
    var generator = Generator(state: seed)
    let documents = (0..<2000).map { _ in generator.record() }
    let (found, want) = (decode(documents.map(\.text)), decode(documents.map(\.single.text)))
    #expect(found.valid == want.valid, "\(zip(documents, zip(found.valid, want.valid)).first { $0.1.0 != $0.1.1 }.map { $0.0.text } ?? "")")
    let accepted = want.valid.count { $0 }
    #expect(accepted > 200 && accepted < 1800, "both verdicts occur: \(accepted)")
    for row in documents.indices where want.valid[row] && found.valid[row] {
      for (field, columns) in zip(Self.fields, zip(found.columns, want.columns)) {
        #expect(columns.0.literal(row) == columns.1.literal(row), "\(field.name) of \(documents[row].text)")
      }
    }
  }

  @Test(arguments: [
    #"{"n":1,"a":1,"a":"x"}"#, #"{"n":1,"o":{"a":1},"o":{"a":"y"}}"#, #"{"n":1,"o":{"a":1},"o":null}"#, #"{"n":1,"l":[1],"l":["q"]}"#,
    #"{"n":"8","n":8}"#, #"{"n":1,"s":{"a":"1","\u0061":1}}"#, #"{"n":1,"m":{"k":"1","z":2,"k":1}}"#, #"{"a":"\ud800","n":1,"a":""}"#,
  ]) func aValueThatIsOverriddenNeedsNoType(_ record: String) { #expect(decode([record]).rejections.map(\.rejection.reason) == []) }

  @Test(arguments: [
    (#"{"a":123456,"a":"x","m":{},"n":"bad"}"#, "field n: expected int64, found a string", #""bad""#),
    (#"{"a":1,"a":"x","n":"bad"}"#, "field n: expected int64, found a string", #""bad""#),
    (#"{"n":1,"a":"x","a":7}"#, "field a: expected string, found a number", "7}"),
    (#"{"n":1,"a":[1,],"a":"x"}"#, "not a JSON value", "],"),
    (#"{"n":1,"n":null}"#, "required field n is missing or null", ""),
  ]) func anErrorThatCountsIsReportedWhereItIs(_ record: String, _ reason: String, _ place: String) throws {
    let rejection = try #require(decode([record]).rejections.first).rejection
    let byte = place.isEmpty ? record.utf8.count : try #require(record.firstRange(of: place)).lowerBound.utf16Offset(in: record)
    #expect(rejection.reason.hasPrefix(reason) && rejection.reason.hasSuffix("(byte \(byte))"), "\(rejection.reason)")
  }

  /// What tables keep of the record is what was received, and its strings outlive the block's text.
  @Test func theNeighboursAndTheTextAreUntouched() {
    let lines = [#"{"n":1,"a":"p"}"#, #"{"n":true,"a":"q","n":2}"#, #"{"n":3,"a":"r"}"#]
    let block = decode(lines)
    #expect((0..<3).map { block.columns[0].literal($0) } == [.string("p"), .string("q"), .string("r")])
    #expect((0..<3).map { block.columns[1].literal($0) } == [.int64(1), .int64(2), .int64(3)])
    #expect(block.length.map(Int.init) == lines.map(\.utf8.count))
  }
}
