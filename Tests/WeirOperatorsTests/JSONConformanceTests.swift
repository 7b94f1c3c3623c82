import Foundation
import Testing
import WeirCore
import WeirOperators

/// The JSONTestSuite (nst/JSONTestSuite), whose cases are in the folder of that name.
struct JSONConformanceTests {
  private static func suite() throws -> [(name: String, bytes: [UInt8])] {
    let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let archive = here.appendingPathComponent("JSONTestSuite/test_parsing.tar.gz")
    try #require(FileManager.default.fileExists(atPath: archive.path), "\(archive.path) is missing: these tests show nothing without it")
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-json-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let tar = Process()
    tar.executableURL = URL(fileURLWithPath: "/bin/tar")
    tar.arguments = ["xzf", archive.path, "-C", folder.path]
    try tar.run()
    tar.waitUntilExit()
    var cases: [(name: String, bytes: [UInt8])] = []
    for case let file as URL in FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)!
    where file.pathExtension == "json" {
      cases.append((file.deletingPathExtension().lastPathComponent, Array(try Data(contentsOf: file))))
    }
    let counts = ["y_", "n_", "i_"].map { prefix in cases.count { $0.name.hasPrefix(prefix) } }
    try #require(counts == [95, 188, 35], "cases are missing in \(archive.path)")
    return cases.sorted { $0.name < $1.name }
  }

  private func verdict(_ bytes: [UInt8]) -> String? {
    let padded = bytes + [UInt8](repeating: 0, count: 64)
    return padded.withUnsafeBytes { JSONGrammar.validate(UnsafeRawBufferPointer(rebasing: $0[0..<bytes.count]))?.reason }
  }

  @Test func everyValidCaseIsAcceptedAndEveryInvalidOneRejected() throws {
    let cases = try JSONConformanceTests.suite()
    for (name, bytes) in cases {
      if name.hasPrefix("y_") { #expect(verdict(bytes) == nil, "\(name)") }
      if name.hasPrefix("n_") { #expect(verdict(bytes) != nil, "\(name)") }
    }
  }

  /// What the standard leaves to the reader, by the rules of the plan reference: as JSON, and as the value of a field.
  ///
  /// nil: accepted. The second is of `{"a":CASE}` where `a` is a list of doubles, or of strings.
  private static let open: [String: (json: String?, value: String?)] = {
    var open: [String: (json: String?, value: String?)] = [:]
    for name in ["double_huge_neg_exp", "real_underflow", "too_big_neg_int", "too_big_pos_int", "very_big_negative_int"] {
      open["i_number_\(name)"] = (nil, nil)
    }
    for name in ["huge_exp", "neg_int_huge_exp", "pos_double_huge_exp", "real_neg_overflow", "real_pos_overflow"] {
      open["i_number_\(name)"] = (nil, "beyond the largest double")
    }
    for name in [
      "1st_surrogate_but_2nd_missing", "1st_valid_surrogate_2nd_invalid", "incomplete_surrogate_and_escape_valid",
      "incomplete_surrogate_pair", "incomplete_surrogates_escape_valid", "invalid_lonely_surrogate", "invalid_surrogate",
      "inverted_surrogates_U+1D11E", "lone_second_surrogate",
    ] { open["i_string_\(name)"] = (nil, "lone surrogate in a string") }
    for name in [
      "UTF-8_invalid_sequence", "UTF8_surrogate_U+D800", "invalid_utf-8", "iso_latin_1", "lone_utf8_continuation_byte",
      "not_in_unicode_range", "overlong_sequence_2_bytes", "overlong_sequence_6_bytes", "overlong_sequence_6_bytes_null",
      "truncated-utf-8",
    ] { open["i_string_\(name)"] = ("ill-formed UTF-8", "ill-formed UTF-8") }
    for name in ["UTF-16LE_with_BOM", "utf16BE_no_BOM", "utf16LE_no_BOM"] { open["i_string_\(name)"] = ("", "") }
    // The name of a member that no field has is not looked into.
    open["i_object_key_lone_2nd_surrogate"] = (nil, "expected list<string>, found an object")
    open["i_structure_500_nested_arrays"] = (nil, "expected string, found an array")
    // Before a record, and nowhere else.
    open["i_structure_UTF-8_BOM_empty_object"] = ("not a JSON value", "not a JSON value")
    return open
  }()

  @Test func whatTheStandardLeavesOpenIsAsDocumented() throws {
    func agrees(_ found: String?, _ want: String?) -> Bool {
      guard let want else { return found == nil }
      return found?.contains(want) == true || want.isEmpty && found != nil
    }
    let cases = try JSONConformanceTests.suite().filter { $0.name.hasPrefix("i_") }
    #expect(Set(cases.map(\.name)) == Set(JSONConformanceTests.open.keys))
    for (name, bytes) in cases {
      guard let want = JSONConformanceTests.open[name] else { continue }
      let found = verdict(bytes)
      #expect(agrees(found, want.json), "\(name) as JSON: \(found ?? "accepted")")
      let element: ColumnType = name.hasPrefix("i_number") ? .double : .string
      let decoder = RecordDecoder(fields: [Field(name: "a", type: .list(element: element)), Field(name: "n", type: .int64)])
      let record = Array("{\"n\":1,\"a\":".utf8) + bytes + Array("}".utf8)
      let block = decoder.decode(RawBlock(records: [Array("{\"n\":0}".utf8), record, Array("{\"n\":2}".utf8)]))
      let reason = block.rejections.first?.rejection.reason
      #expect(agrees(reason, want.value), "\(name) in a record: \(reason ?? "accepted")")
      #expect(block.columns[1].literal(0) == .int64(0) && block.columns[1].literal(2) == .int64(2), "\(name): its neighbours")
      // A member that no field has is checked as JSON only.
      let beside = RecordDecoder(fields: [Field(name: "n", type: .int64)]).decode(RawBlock(records: [record]))
      #expect(agrees(beside.rejections.first?.rejection.reason, want.json), "\(name) in a member that is not read")
    }
    let marked = RecordDecoder(fields: [Field(name: "n", type: .int64)]).decode(
      RawBlock(records: cases.filter { $0.name.hasSuffix("BOM_empty_object") }.map(\.bytes)))
    #expect(marked.valid == [true], "a byte order mark before a record is ignored")
  }

  @Test func everyInvalidCaseSentAsOneRecordIsOneRejectionAndItsNeighboursAreRead() throws {
    let decoder = RecordDecoder(fields: [Field(name: "a", type: .int64, required: true)])
    for (name, bytes) in try JSONConformanceTests.suite() where name.hasPrefix("n_") {
      let block = decoder.decode(RawBlock(records: [Array("{\"a\":1}".utf8), bytes, Array("{\"a\":2}".utf8)]))
      #expect(block.valid == [true, false, true], "\(name)")
      #expect(block.rejections.map(\.row) == [1], "\(name)")
      #expect(block.rejections.first?.rejection.reason.isEmpty == false, "\(name)")
      #expect(block.columns[0].literal(0) == .int64(1) && block.columns[0].literal(2) == .int64(2), "\(name)")
    }
  }

  @Test func aRecordThatIsJSONButNoObjectHasAReasonOfItsOwn() {
    let decoder = RecordDecoder(fields: [])
    for (text, kind) in [("[1]", "an array"), ("\"s\"", "a string"), ("12", "a number"), ("true", "a bool"), ("null", "null")] {
      let block = decoder.decode(RawBlock(records: [Array(text.utf8)]))
      #expect(block.rejections.first?.rejection.reason.hasPrefix("record is not a JSON object but \(kind)") == true)
    }
  }

  @Test func aLineThatIsCutShortDoesNotSwallowTheNextOne() {
    let decoder = RecordDecoder(fields: [Field(name: "a", type: .string)])
    let block = decoder.decode(RawBlock(lines: Array("{\"a\":\"x\n{\"a\":\"y\"}\n\n{\"a\":\"z\"}".utf8)))
    #expect(block.valid == [false, true, false, true])
    #expect(block.rejections[1].rejection.reason.hasPrefix("blank line"))
    #expect(block.columns[0].literal(1) == .string("y") && block.columns[0].literal(3) == .string("z"))
  }

  @Test func numbersAreExact() {
    let decoder = RecordDecoder(fields: [
      Field(name: "i", type: .int64), Field(name: "d", type: .decimal(precision: 12, scale: 2)), Field(name: "x", type: .double),
    ])
    func row(_ text: String) -> (valid: Bool, values: [Literal]) {
      let block = decoder.decode(RawBlock(records: [Array(text.utf8)]))
      return (block.valid[0], block.columns.map { $0.literal(0) })
    }
    #expect(row("{\"i\":-9223372036854775808}").values[0] == .int64(.min))
    #expect(row("{\"i\":9223372036854775807}").values[0] == .int64(.max))
    #expect(!row("{\"i\":9223372036854775808}").valid)
    #expect(row("{\"i\":1e3}").values[0] == .int64(1000))
    #expect(!row("{\"i\":1.5}").valid)
    #expect(row("{\"d\":0.10}").values[1] == .decimal(10, precision: 12, scale: 2))
    #expect(row("{\"d\":-12.3400}").values[1] == .decimal(-1234, precision: 12, scale: 2))
    #expect(!row("{\"d\":0.001}").valid)
    #expect(!row("{\"d\":10000000000}").valid)
    for text in ["0.1", "1e308", "5e-324", "123456789012345678901234567890", "2.2250738585072011e-308", "-0.0"] {
      #expect(row("{\"x\":\(text)}").values[2] == .double(Double(text)!), "\(text)")
    }
    #expect(!row("{\"x\":1e999}").valid)
  }

  @Test func illFormedUTF8IsRejectedInAnyPlace() {
    let decoder = RecordDecoder(fields: [Field(name: "a", type: .string)])
    for bad: [UInt8] in [[0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x80], [0xE2, 0x82]] {
      for key in ["a", "undeclared"] {
        let record = Array("{\"\(key)\":\"".utf8) + bad + Array("\"}".utf8)
        #expect(decoder.decode(RawBlock(records: [record])).valid == [false])
      }
    }
  }

  /// Foundation's reader is the judge of mutated records.
  @Test func mutatedRecordsAreReadAsFoundationReadsThem() throws {
    let base = #"{"id":"a\u00e9\n1","n":12,"o":{"k":[1,2,{"z":null}]},"flag":true,"x":-1.5e3}"#
    let decoder = RecordDecoder(fields: [Field(name: "id", type: .string), Field(name: "n", type: .int64)])
    var state: UInt64 = 42
    func next(_ n: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % n
    }
    for _ in 0..<20_000 {
      var bytes = Array(base.utf8)
      for _ in 0..<1 + next(3) {
        switch next(3) {
        case 0: bytes[next(bytes.count)] = UInt8(next(128))
        case 1: bytes.remove(at: next(bytes.count))
        default: bytes.insert(Array("\"{}[],:0 \\ue".utf8)[next(12)], at: next(bytes.count))
        }
      }
      let block = decoder.decode(RawBlock(records: [bytes]))
      let judge = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
      // Foundation is laxer in some corners (lone surrogates, numbers), so only its refusals bind, and its values.
      if judge == nil, block.valid[0] {
        let padded = bytes + [UInt8](repeating: 0, count: 64)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(padded.withUnsafeBytes { JSONGrammar.validate(UnsafeRawBufferPointer(rebasing: $0[0..<bytes.count])) } == nil, "\(text)")
      }
      if block.valid[0], let judge, let id = judge["id"] as? String, case .string(let ours) = block.columns[0].literal(0) {
        // A repeated key: Foundation keeps the first or the last as it likes.
        if bytes.count < base.utf8.count + 4, !String(decoding: bytes, as: UTF8.self).contains("\"id\"\"") { #expect(ours == id) }
      }
    }
  }
}
