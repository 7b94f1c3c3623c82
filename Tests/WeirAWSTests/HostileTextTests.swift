import Testing
import WeirCore
import WeirTesting

@testable import WeirAWS

/// Bytes of other systems and of files never trap, whatever they are.
struct HostileTextTests {
  private static let seeds = [
    "[profile dev]\nregion = a\ns3 =\n  x = y\n# c\ncredential_process = a 'b c' \"d\\\"\"\n",
    "<Error><Code>A&amp;&#x41;</Code><Message>m</Message></Error>",
    "{\"__type\":\"x#Y\",\"message\":\"m\",\"CancellationReasons\":[{\"Code\":\"None\"}]}", "Sun, 06 Nov 1994 08:49:37 GMT",
    "2026-11-30T08:00:00.5+02:00",
    "https://[::1]:8080/a/b?c=d", "\u{FEFF}[a]\r\nb: c\r\n", "http://h:1/é\u{301}&\u{301};",
  ]

  @Test func `changed texts are read or refused`() throws {
    var random = SplitMix64(seed: 17)
    let special = Array("\u{0}\n\r\t []<>&;#=:'\"\\{}/@%\u{FF}\u{80}".utf8)
    for round in 0..<2000 {
      var bytes = Array(HostileTextTests.seeds[round % HostileTextTests.seeds.count].utf8)
      for _ in 0...random.below(6) {
        let at = random.below(bytes.count + 1)
        switch random.below(3) {
        case 0: bytes.insert(special[random.below(special.count)], at: at)
        case 1: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(4)))
        default: if at < bytes.count { bytes[at] = UInt8(truncatingIfNeeded: random.next()) }
        }
      }
      read(bytes)
    }
  }

  private func read(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    var config = SharedConfig()
    if let file = try? SharedConfigFile(bytes, place: "file") {
      config.add(config: file)
      for name in file.names { for value in (file.keys(name) ?? [:]).values { _ = SharedConfigFile.nested(value) } }
    }
    for type in ["application/xml", "x"] {
      let answer = AWSResponse(
        status: 400, headers: [.init("Content-Type", type), .init("Date", text), .init("Retry-After", text)], body: bytes)
      _ = AWSVerdict(answer, AWSServiceError(answer), at: 0)
      _ = AWSVerdict.isError(answer, method: "PUT")
      _ = BackOff.named(answer)
    }
    _ = ShellWords.split(text)
    _ = HTTPDate.seconds(text)
    _ = HTTPDate.iso8601Seconds(text)
    _ = AddressParts(text)
    _ = try? AWSEndpoint(text, region: text)
    _ = URIText.normalized(text)
    if let json = try? JSONValue(parsing: bytes) { _ = try? CredentialsDocument.read(json, .init(), place: "file") }
  }

  @Test func `a file of very many sections is read in a moment`() throws {
    let text = (0..<20_000).map { "[s\($0)]\nk=\($0)\n" }.joined()
    #expect(try SharedConfigFile(Array(text.utf8), place: "file").keys("s19999") == ["k": "19999"])
  }
}
