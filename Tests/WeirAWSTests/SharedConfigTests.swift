import Testing

@testable import WeirAWS

struct SharedConfigTests {
  private func keys(_ text: String, _ section: String = "default") throws -> [String: String]? {
    try SharedConfigFile(Array(text.utf8), place: "file").keys(section)
  }

  @Test func `keys have any case, either delimiter, and values with delimiters in them`() throws {
    let text = "[default]\nRegion = a\noutput: json\nendpoint_url=http://h:1/x=y\nempty =\n"
    #expect(try keys(text) == ["region": "a", "output": "json", "endpoint_url": "http://h:1/x=y", "empty": ""])
  }

  @Test func `comments are whole lines, and a # within a value is kept`() throws {
    #expect(try keys("# c\n; d\n[default]\n# e\nsecret = a#b ;c\n  # indented\n") == ["secret": "a#b ;c"])
  }

  @Test func `lines that are indented further continue a value`() throws {
    let text = "[default]\ns3 =\n  addressing_style = path\n\n  max = 1\nregion = r\n"
    let found = try #require(try keys(text))
    #expect(SharedConfigFile.nested(found["s3"] ?? "") == ["addressing_style": "path", "max": "1"])
    #expect(found["region"] == "r")
    #expect(try keys("[default]\n  a = 1\n  b = 2\n") == ["a": "1", "b": "2"])
  }

  @Test func `line ends of Windows, a byte order mark and ill-formed bytes are taken`() throws {
    #expect(try keys("\u{FEFF}[default]\r\na = 1\r\nb = 2\r\n") == ["a": "1", "b": "2"])
    #expect(try SharedConfigFile([0x5B, 0x61, 0x5D, 0x0A, 0x62, 0x3D, 0xFF, 0x0A], place: "file").keys("a") == ["b": "\u{FFFD}"])
  }

  @Test(arguments: ["a = very-secret\n", "[default]\nvery-secret\n", "[default]\n= very-secret\n", "[\nvery-secret"])
  func `an error names the line and does not show it`(text: String) {
    let failure = #expect(throws: AWSFailure.self) { try SharedConfigFile(Array(text.utf8), place: "file") }
    #expect(failure?.message.contains("file, line") == true)
    #expect(failure?.message.contains("secret") == false)
  }

  @Test func `profiles of the config file have a word before their name, which may be quoted`() throws {
    var config = SharedConfig()
    let text =
      "[default]\na=0\n[profile dev]\na=1\n[profile \"two words\"]\na=2\n[other]\na=3\n"
      + "[sso-session s]\nb=1\n[services v]\nc=1\n[profile bad\" x]\n"
    config.add(config: try SharedConfigFile(Array(text.utf8), place: "file"))
    #expect(Set(config.profiles.keys) == ["default", "dev", "two words"])
    #expect(config.ssoSessions["s"] == ["b": "1"])
    #expect(config.services["v"] == ["c": "1"])
    config.add(credentials: try SharedConfigFile(Array("[dev]\na=9\n[raw]\nk=1\n".utf8), place: "file"))
    #expect(config.profiles["dev"] == ["a": "9"])
    #expect(config.profiles["raw"] == ["k": "1"])
  }

  @Test func `words of a command are separated as a shell separates them`() {
    #expect(ShellWords.split("a  b\tc") == ["a", "b", "c"])
    #expect(ShellWords.split("a 'b c' \"d \\\" e\" f\\ g h''") == ["a", "b c", "d \" e", "f g", "h"])
    #expect(ShellWords.split("''") == [""])
    #expect(ShellWords.split("\"a\\b\"") == ["a\\b"])
    #expect(ShellWords.split("a 'b") == nil)
    #expect(ShellWords.split("a \"b") == nil)
    #expect(ShellWords.split("a \\") == nil)
    #expect(ShellWords.split("") == [])
  }
}
