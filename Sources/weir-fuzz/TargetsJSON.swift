import Foundation
import WeirCore
import WeirKafka
import WeirKafkaSettings
import WeirOperators
import WeirPlan

/// A number that is no number equals itself here.
func same(_ a: Literal, _ b: Literal) -> Bool {
  if case .double(let x) = a, case .double(let y) = b { return x == y || x.isNaN && y.isNaN }
  return a == b
}

extension FuzzTarget {
  static let documents = [
    #"{"id":"a\u00e9\n1","n":12,"o":{"k":[1,2,{"z":null}]},"flag":true,"x":-1.5e3}"#, "[]", "{}", "null", #""\uD83D\uDE00""#,
    " [ 1 , -0.0 ] ",
    #"{"a":{"a":{"a":[[[[1]]]]}},"":"","\/":"\\\""}"#, "123456789012345678901234567890", #"["ñ😀",1e10,2E-3,0.25,-9223372036854775808]"#,
  ].map { Array($0.utf8) }
  static let jsonWords = [
    "null", "true", "false", "{", "}", "[", "]", ":", ",", "\"", "\\u0000", "\\ud800", "\\udc00", "\\", "1e", "-", "\u{FEFF}", "\u{0}",
    "[[[[[[[[[[[[[[[[", "{\"a\":", "\n", "\t", "é",
  ]

  /// Two parsers of ours and Foundation's: one verdict and one value.
  static let json = FuzzTarget("json", words: jsonWords, seeds: { documents }) { input in
    let padded = input + [UInt8](repeating: 0, count: 64)
    let fault = padded.withUnsafeBytes { JSONGrammar.validate(UnsafeRawBufferPointer(rebasing: $0[..<input.count])) }
    let value: JSONValue
    do throws(JSONValue.ParseError) { value = try JSONValue(parsing: input) } catch {
      // Each has a bound of its own for the depth; lone surrogates are in the grammar, but no text.
      expect(
        fault != nil || error.reason.contains("too deep") || error.reason.contains("lone surrogate"), "valid to the scanner, but \(error)")
      // It takes UTF-16, byte order marks and lone surrogates besides.
      return
    }
    expect(fault == nil, "valid to the parser, but \(String(describing: fault))")
    expect((try? JSONValue(parsing: value.bytes)) == value, "written and read it is another value")
    // Foundation leaves byte order marks out of strings.
    guard !input.contains(0xBF) || !String(decoding: input, as: UTF8.self).unicodeScalars.contains("\u{FEFF}") else { return }
    let judge = try? JSONSerialization.jsonObject(with: Data(input), options: .fragmentsAllowed)
    if let judge { expect(agrees(value, judge), "Foundation reads \(judge)") }
  }

  /// Foundation keeps one of two members of a name, has no numbers beyond a double's, and takes the first bytes for an encoding.
  private static func agrees(_ value: JSONValue, _ judge: Any) -> Bool {
    switch value {
    case .null: return judge is NSNull
    case .bool(let b): return judge as? Bool == b
    case .int(let i): return (judge as? NSNumber)?.int64Value == i || (judge as? NSNumber)?.doubleValue == Double(i)
    case .number(let text):
      guard let ours = Double(text), let theirs = (judge as? NSNumber)?.doubleValue else { return false }
      return !ours.isFinite || abs(ours - theirs) <= abs(ours) * 1e-12
    case .string(let text): return judge as? String == text
    case .array(let items):
      guard let all = judge as? [Any], all.count == items.count else { return false }
      return zip(items, all).allSatisfy { agrees($0, $1) }
    case .object(let members):
      // Foundation's keys are equal if their text is, whatever its scalars.
      guard let all = judge as? [String: Any] else { return false }
      guard Set(members.map(\.name)).count == members.count else { return true }
      return all.count == members.count && members.allSatisfy { member in all[member.name].map { agrees(member.value, $0) } ?? false }
    }
  }

  static let fields = [
    Field(name: "id", type: .string, required: true), Field(name: "n", type: .int64), Field(name: "x", type: .double),
    Field(name: "flag", type: .bool), Field(name: "amount", type: .decimal(precision: 12, scale: 2)),
    Field(name: "wide", type: .decimal(precision: 38, scale: 10)), Field(name: "t", type: .timestamp),
    Field(name: "ms", type: .timestamp, encoding: .milliseconds), Field(name: "s", type: .timestamp, encoding: .seconds),
    Field(name: "inner", type: .int64, path: [.name("o"), .name("k"), .index(2), .name("z")]),
    Field(name: "first", type: .string, path: [.name("list"), .index(0)]),
    Field(name: "tags", type: .list(element: .list(element: .int64))), Field(name: "attrs", type: .map(value: .string)),
    Field(name: "who", type: .structure(members: [StructMember("a", .bool), StructMember("b", .map(value: .timestamp))])), .rescued,
  ]
  static let lines = """
    {"id":"e1","n":5,"x":1.5,"flag":true,"amount":12.34,"wide":1e-10,"t":"2024-02-29T12:00:00.123456Z","ms":1700000000000,"s":1700000000,"list":["a"]}
    {"id":"e2","n":-9223372036854775808,"o":{"k":[1,[2],{"z":7}]},"flag":null,"t":"2024-01-01 00:00:00+02:00"}
    {"id":"a\\u00e9\\ud83d\\ude00","n":1e3,"amount":"12.30","list":[]}

    {"n":5,"id":"e3","id":"e4","other":{"deep":[[[{}]]]}}
    {"id":"e5","tags":[[1],null,[],[2,null]],"attrs":{"k":"v","":null,"k":"w"},"who":{"b":{"t":"2024-01-01T00:00:00Z"},"z":[],"a":true,"b":{}}}
    not json
    """

  /// Records of one block, each of which must come out as it does alone: what the decoder foresees must not show.
  static let records = FuzzTarget(
    "records",
    words: jsonWords + ["\"id\":", "\"n\":", "\"t\":\"", "T", "Z", "+14:00", "\"o\":{\"k\":[", "2024-12-31", "9999-12-31T23:59:60Z", "\r"],
    seeds: { [Array(lines.utf8)] + lines.split(separator: "\n").map { Array($0.utf8) } }
  ) { input in
    let block = RecordDecoder(fields: fields).decode(RawBlock(lines: input))
    var rejections = block.rejections[...]
    // A block is one line at least; each alone costs a decoder.
    for row in 0..<min(block.count, 200) {
      let start = Int(block.offset[row])
      let line = Array(input[start..<start + Int(block.length[row])])
      let alone = RecordDecoder(fields: fields).decode(RawBlock(records: [line]))
      expect(alone.valid[0] == block.valid[row], "row \(row) alone is another verdict: \(alone.rejections) and \(block.rejections)")
      for (i, column) in block.columns.enumerated() {
        expect(
          same(column.literal(row), alone.columns[i].literal(0)), "row \(row): \(fields[i].name) alone is \(alone.columns[i].literal(0))")
      }
      if block.valid[row] {
        expect(line.isEmpty || isJSON(line), "row \(row) was accepted, and is not JSON")
        if case .string(let rest) = block.columns[fields.count - 1].literal(row) {
          expect(rest.hasPrefix("{\"") && isJSON(Array(rest.utf8)), "row \(row): what no field reads is not an object: \(rest)")
        }
      } else {
        expect(rejections.popFirst().map { $0.row == row && $0.rejection == alone.rejections[0].rejection } == true, "row \(row)'s reason")
      }
    }
    let skipping = RecordDecoder(fields: fields, keepsBlankLines: false).decode(RawBlock(lines: input))
    expect(skipping.count + skipping.blankLines == block.count, "lines that are skipped are counted")
  }

  private static func isJSON(_ line: [UInt8]) -> Bool {
    let text =
      line.starts(with: [0xEF, 0xBB, 0xBF])
      ? Array(line.dropFirst(3)) : line.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }.starts(with: [0xEF, 0xBB, 0xBF]) ? nil : line
    guard let text else { return true }
    let padded = text + [UInt8](repeating: 0, count: 64)
    return padded.withUnsafeBytes { JSONGrammar.validate(UnsafeRawBufferPointer(rebasing: $0[..<text.count])) } == nil
  }

  static let recordHeaders = FuzzTarget(
    "record-headers", words: jsonWords + ["hex", "__value_schema_id", "traceparent"],
    seeds: {
      [
        #"[["a","b"],["c",null],["d",{"hex":"00ff"}]]"#, "[]",
        #"[["traceparent","00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]]"#,
      ].map { Array($0.utf8) }
    }
  ) { input in
    guard let headers = RecordHeaders.parse(input) else { return }
    _ = TraceContext(headers: String(decoding: input, as: UTF8.self))
    guard let text = RecordHeaders.text(headers) else { return expect(headers.isEmpty, "headers without a text") }
    guard let again = RecordHeaders.parse(text.utf8) else { fail("their text is not read: \(text)") }
    expect(headers.elementsEqual(again) { $0.name == $1.name && $0.value == $1.value }, "read again they are others: \(text)")
  }

  /// Small texts that come from files, headers, requests and settings.
  static let texts = FuzzTarget(
    "texts", words: ["of", "/", ":", ".", "[0]", "'", "\"", "-", "T", "Z", "+", "^", "{1,255}", "(", "*", "localhost", "::1", "%"],
    seeds: {
      [
        "2024-02-29T12:00:00.123456Z", "2024-01-01 00:00:00+02:00", "a.b[2].'c d'", "s/0of2", "_merge", "12:3", "7@12:3", "topic/7", "max",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "[::1]:9092", "localhost:9464", "broker-1.example:9092",
        "17 1700000000000 0123456789abcdef0123456789abcdef", "5 - 0123456789abcdef0123456789abcdef", "^ad-[a-z]+$", "PAR1", "{\"a\":1}",
      ].map { Array($0.utf8) }
    }
  ) { input in
    let text = String(decoding: input, as: UTF8.self)
    if let time = TimestampText.parse(text).microseconds {
      expect(
        TimestampText.parse(CivilTime.text(ofMicroseconds: time)).microseconds == time,
        "another time: \(CivilTime.text(ofMicroseconds: time))")
    }
    if let path = try? FieldPath.parse(text) {
      expect((try? FieldPath.parse(FieldPath.text(path))) == path, "another path: \(FieldPath.text(path))")
    }
    if let point = ShardPoint(text: text) { expect(ShardPoint(text: point.text) == point, "another place: \(point.text)") }
    if let position = Position(text: text) { expect(Position(text: position.text) == position, "another position: \(position)") }
    let lane = LaneID(text: text)
    expect(LaneID(text: lane.text) == lane, "another lane: \(lane)")
    if let print = Fingerprint(text: text) { expect(Fingerprint(text: print.text) == print, "another fingerprint: \(print)") }
    _ = TraceContext(traceparent: text)
    _ = (HostAddress.isHost(text), HostAddress.isHostAndPort(text), FileSignature(input)?.captureAdvice("f"))
    _ = TopicPattern("^" + text)?.fits("ad-events")
    if let address = try? AdminAddress(text) {
      let again = try? AdminAddress(address.text)
      expect(again == address, "another address: \(address.text)")
    }
  }
}
