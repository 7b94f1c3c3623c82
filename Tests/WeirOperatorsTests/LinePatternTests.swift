import Testing
import WeirCore

@testable import WeirOperators

@Suite struct LinePatternTests {
  /// The groups of a line, nil: no match.
  private func groups(_ pattern: String, _ line: String) throws -> [String?]? {
    let matcher = PatternMatcher(try LinePattern(try Grok.expand(pattern).text))
    let bytes = Array(line.utf8)
    let names = try LinePattern(try Grok.expand(pattern).text).names
    let padded = bytes + [UInt8](repeating: 0, count: 16)
    return padded.withUnsafeBufferPointer { text in
      guard matcher.match(text.baseAddress!, bytes.count) == .matches else { return nil }
      return stride(from: 0, to: names.count * 2, by: 2).map { i in
        let (from, to) = (matcher.places[i], matcher.places[i + 1])
        return from < 0 ? nil : String(decoding: bytes[from..<to], as: UTF8.self)
      }
    }
  }

  @Test func aPatternMatchesTheWholeLine() throws {
    #expect(try groups("(?<a>a+)", "aaa") == ["aaa"])
    #expect(try groups("(?<a>a+)", "aaab") == nil)
    #expect(try groups("(?<a>a*?)(?<b>a*)", "aaa") == ["", "aaa"])
    #expect(try groups("(?<a>a*)(?<b>a*)", "aaa") == ["aaa", ""])
    #expect(try groups("(?:(?<a>x)|(?<b>y))", "y") == [nil, "y"])
    #expect(try groups("(?<a>[^ ]+) (?<b>.*)", "ü€ 😀 b") == ["ü€", "😀 b"])
    #expect(try groups("(?i)(?<a>abc)[x-z]", "aBCY") == ["aBC"])
    #expect(try groups("(?<a>.{3})é", "ü€😀é") == ["ü€😀"])
    #expect(try groups(#"(?<a>\w+)\b-(?<b>\d{2,3})"#, "ab-123") == ["ab", "123"])
  }

  /// As `"aa" =~ /^(a*)*$/` of Perl, and Python's `re.fullmatch`: a repetition that takes nothing counts, and is the last one.
  @Test(arguments: [
    ("(?<a>a*)*", "aa", [""]), ("(?<a>a*)*", "", [""]), ("(?<a>a*)+", "aa", [""]), ("(?:(?<a>a)|(?<b>b*))*", "ab", ["a", ""]),
    ("(?:(?<a>a)|(?<b>b*))*c", "aac", ["a", ""]), ("(?<a>(?:a?)*?)b", "aab", ["aa"]), ("(?<a>(?<b>a*)*)*x", "aax", ["", ""]),
    ("(?<a>a|b*)*(?<c>c)", "abbc", ["", "c"]), ("(?<a>a*?)*(?<b>b)", "aab", ["", "b"]), ("(?:(?<a>x*)y?)*z", "xyxz", [""]),
    ("(?<a>a*?)*?b", "aab", ["a"]),
    ("(?<a>a*){0,3}", "aa", [""]),
  ]) func anEmptyRepetitionIsTheLastOne(_ pattern: String, _ line: String, _ wanted: [String?]) throws {
    #expect(try groups(pattern, line) == wanted)
  }

  @Test func aSpanGivesBackWhereItMust() throws {
    #expect(try groups("(?<a>.*)=(?<b>.*)", "x=y=z") == ["x=y", "z"])
    #expect(try groups("(?<a>[ab]+)b(?<b>.)", "abbbc") == ["abb", "c"])
    #expect(try groups("(?<a>ü+)ü", "üüü") == ["üü"])
  }

  /// Both programs of a pattern name sets by their places in one list, though only one of them makes a set of a byte that repeats.
  @Test func aLineThatTheSlowProgramReadsHasTheSameGroups() throws {
    #expect(try groups(#"(?<k>\w+)=?(?<v>(?:[a-z]*-?)*);?"#, "a=b-c;") == ["a", "b-c"])
    #expect(try groups(#"(?<k>(?:[a-z]*\.?)*)=(?<v>.*)"#, "a.b.c=1") == ["a.b.c", "1"])
    let many = String(repeating: "a", count: 28)
    #expect(try groups(#"-*(?:(?<id>(?:\w\w?)+)!|(?<rest>\d+))"#, many) == nil)
    #expect(try groups(#"-*(?:(?<id>(?:\w\w?)+)!|(?<rest>[a-z]+) (?<n>\d+))"#, many + " 12") == [nil, many, "12"])
    #expect(try groups(#"(?<id>x)(?:.{0}|\d)*"#, "x ") == nil)
    #expect(try groups(#"(?<id>x)(?:.{0}|\d)*"#, "x1") == ["x"])
  }

  @Test func grokIsWrittenOut() throws {
    #expect(
      try groups("%{IP:client} %{WORD:method} %{URIPATHPARAM:path} %{NUMBER:took}", "192.0.2.1 GET /a?b=c 0.25")
        == ["192.0.2.1", "GET", "/a?b=c", "0.25"])
    #expect(
      try groups(#"\[%{HTTPDATE:at}\] %{GREEDYDATA:rest}"#, "[01/Mar/2026:13:00:00 +0100] x y") == ["01/Mar/2026:13:00:00 +0100", "x y"])
    #expect(try groups("%{TIMESTAMP_ISO8601:t} %{LOGLEVEL:l}", "2026-03-01T10:00:00.5Z WARN") == ["2026-03-01T10:00:00.5Z", "WARN"])
  }

  @Test(arguments: Grok.names) func everyNameOfGrokIsAPattern(_ name: String) throws {
    _ = try LinePattern(try Grok.expand("%{\(name):x}").text)
  }

  @Test(arguments: [
    ("(?<a>a", "a ( without a )"), ("a)", "a ) without"), ("(?=a)", "not supported"), (#"(a)\1"#, "not supported"),
    ("a{3,1}", "wrong way round"),
    ("*a", "nothing to repeat"), ("[b-a]", "wrong way round"), ("[a", "a [ without"), ("(?<a>x)(?<a>y)", "two groups"),
    ("a{2000}", "pattern_repeats"),
    ("(?:(?:a{999}){9}){9}", "pattern_steps"), (String(repeating: "(", count: 200), "pattern_depth"), ("a++", "possessive"),
    ("%{NOPE:x}", "no grok pattern"), ("%{NUMBER:took:float}", "write %{NUMBER:took}, and the type in fields"),
    ("\\", "a \\ at the end"),
  ]) func whatIsNoPatternIsRefused(_ text: String, _ why: String) {
    do throws(PatternFault) {
      _ = try LinePattern(try Grok.expand(text).text)
      Issue.record("it is a pattern")
    } catch { #expect(error.reason.contains(why), "\(error.reason)") }
  }

  /// Where a search that goes back takes exponential time.
  @Test(arguments: ["(?<a>(?:a|a)*b)", "(?<a>(?:a*)*c)", "(?<a>(?:a+a+)+b)", "(?<a>.*.*.*.*=.*)"])
  func noPatternMakesALineCostly(_ pattern: String) throws {
    let matcher = PatternMatcher(try LinePattern(pattern))
    let text = [UInt8](repeating: 0x61, count: 400)
    #expect(text.withUnsafeBufferPointer { matcher.match($0.baseAddress!, 384) == .differs })
    #expect(matcher.slowLines == 1)
  }

  @Test func aLogLineTakesTheFastWay() throws {
    let ready = try #require(ReadyPattern.named("nginx"))
    let matcher = PatternMatcher(try LinePattern(ready.pattern))
    let line = Array(
      #"192.0.2.57 - - [01/Mar/2026:13:00:00 +0100] "GET /a.js?x=1 HTTP/2.0" 404 2837 "https://example.com/?q=a b" "curl/8 (x)""#.utf8)
    #expect((line + [UInt8](repeating: 0, count: 16)).withUnsafeBufferPointer { matcher.match($0.baseAddress!, line.count) == .matches })
    #expect(matcher.slowLines == 0)
  }

  private static let samples: [(name: String, line: String, parts: [String: String])] = [
    (
      "alb",
      #"https 2018-07-02T22:23:00.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/a?b HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:x "Root=1-58337281" "www.example.com" "arn:aws:acm" 1 2018-07-02T22:22:48.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-""#,
      ["method": "GET", "status": "200", "domain_name": "www.example.com", "time": "2018-07-02T22:23:00.186641Z"]
    ),
    (
      "syslog", #"<165>1 2003-10-11T22:14:15.003Z host.example.com evntslog - ID47 [a@1 x="1]" y="2"][b z="3"] An event"#,
      ["priority": "165", "app": "evntslog", "message": "An event", "data": #"[a@1 x="1]" y="2"][b z="3"]"#]
    ),
    ("syslog_bsd", "<34>Oct 11 22:14:15 host su[12]: 'su root' failed", ["app": "su", "process": "12", "message": "'su root' failed"]),
    ("syslog_bsd", "<34>Oct 11 22:14:15 host su[12]:", ["app": "su", "process": "12", "message": ""]),
    ("syslog_bsd", "Oct 11 22:14:15 host su: ", ["app": "su", "message": ""]),
    (
      "alb",
      #"tls 2018-07-02T22:23:00.186641Z app/my-lb/50dc 192.168.131.39:2817 - -1 -1 -1 - - 0 57 "- - - " "-" - - - "-" "-" "-" - 2018-07-02T22:22:48.364000Z "-" "-" "-" "-" "-" "-" "-""#,
      ["method": "-", "url": "-", "protocol": "-"]
    ),
    (
      "nginx", #"192.0.2.1 - - [01/Mar/2026:13:00:00 +0100] "M-SEARCH /a HTTP/1.1" 200 1 "-" "x""#,
      ["method": "M-SEARCH", "path": "/a", "protocol": "HTTP/1.1"]
    ),
    (
      "apache", #"192.0.2.1 - - [01/Mar/2026:13:00:00 +0100] "GET /a\"b\c?d=\"e HTTP/1.1" 200 1"#,
      ["method": "GET", "path": #"/a\"b\c"#, "query": #"d=\"e"#, "protocol": "HTTP/1.1"]
    ),
    (
      "apache", #"192.0.2.1 - - [01/Mar/2026:13:00:00 +0100] "GET /a\ HTTP/1.1" 200 1"#,
      ["path": #"/a\"#, "protocol": "HTTP/1.1"]
    ),
    (
      "apache", #"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 -"#,
      ["remote_user": "frank", "path": "/a.gif", "bytes": "-"]
    ),
  ]

  @Test(arguments: samples.indices) func readyPatternsReadTheirLogs(_ place: Int) throws {
    let sample = LinePatternTests.samples[place]
    let ready = try #require(ReadyPattern.named(sample.name))
    let found = try #require(try groups(ready.pattern, sample.line))
    let names = try LinePattern(ready.pattern).names
    for (name, value) in sample.parts { #expect(found[try #require(names.firstIndex(of: name))] == value, "\(name)") }
  }

  @Test func logfmtHasPairs() {
    let fields = ["level", "msg", "took", "ok", "none"].map { Field(name: $0, type: .string) }
    let decoder = LogfmtFormat().decoder(DecoderRequest(fields: fields))
    let block = decoder.decode(
      RawBlock(lines: Array("level=info msg=\"a \\\"b\\\"\" ok took=1.5 level=warn\nplain words\na=\"b\"c\n".utf8)))
    #expect(block.columns.map { $0.literal(0) } == [.string("warn"), .string("a \"b\""), .string("1.5"), .string("true"), .null])
    #expect(
      block.rejections.map(\.rejection.reason) == [
        "not logfmt: there is no key=value (byte 0)", "not logfmt: white space is expected between a value and the next key (byte 5)",
      ])
  }

  @Test func aRawRecordIsItsText() {
    let decoder = RawFormat().decoder(DecoderRequest(fields: [Field(name: "line", type: .string)]))
    let block = decoder.decode(RawBlock(lines: Array("a,b \r\n{}\n".utf8)))
    #expect(block.columns[0].literal(0) == .string("a,b ") && block.columns[0].literal(1) == .string("{}"))
  }

  /// The value of a record of a topic is all of it.
  @Test(arguments: ["a\n", "a\r\n", "\n", " ", "", "\u{FEFF}a", "a\nb\n"]) func aRawRecordThatIsNoLineIsTakenWhole(_ text: String) {
    let decoder = RawFormat().decoder(DecoderRequest(fields: [Field(name: "line", type: .string, required: true)]))
    let block = decoder.decode(RawBlock(records: [Array("x".utf8), Array(text.utf8)]))
    #expect(block.rejections.isEmpty && block.columns[0].literal(1) == .string(text))
  }

  @Test func aPlaceOfAnExpressionIsOneOfThePattern() throws {
    let expansion = try Grok.expand("x %{IP:a} é[%{WORD:b}")
    let bytes = Array(expansion.text.utf8)
    #expect(expansion.origin(of: 1) == 1)
    #expect(expansion.origin(of: try #require(bytes.firstIndex(of: UInt8(ascii: "<")))) == 2)
    #expect(expansion.origin(of: bytes.count - 1) == 13)
    do throws(PatternFault) { _ = try LinePattern(expansion.text) } catch { #expect(expansion.origin(of: error.offset) == 12) }
  }
}
