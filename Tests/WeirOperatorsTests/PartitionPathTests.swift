import Testing
import WeirCore

@Suite struct PartitionPathTests {
  /// The rule before names counted, which directories of existing tables have.
  private func older(_ name: String, _ value: String) -> String {
    func escaped(_ text: String) -> String {
      text.utf8.reduce(into: "") { out, byte in
        let isPlain = byte >= 0x80 || "0123456789-_. +".utf8.contains(byte) || (0x61...0x7A).contains(byte | 0x20)
        out += isPlain ? "\u{1}" : "%XX"
      }
    }
    let isLong = value.utf8.count > 150 || escaped(value).utf8.count > 200
    return isLong ? "\(name)=sha256-\(ContentHash(of: Array(value.utf8)).hex)" : ""
  }

  @Test(arguments: [1, 20, 54, 55, 100, 183, 184, 200, 228], [0, 1, 26, 70, 71, 150, 151, 1000])
  func `every value of every name that is accepted is a file name`(_ name: Int, _ value: Int) {
    let column = String(repeating: "n", count: name)
    for character in ["v", "/", "ü", "\u{1F600}"] {
      let text = String(repeating: character, count: value)
      let path = partitionPath([(name: column, value: text)])
      #expect(path.utf8.count <= 255 && path.hasPrefix(column + "=") && !path.contains("/"), "\(path.utf8.count) \(path)")
      #expect(PartitionStep.leastBytes(column) <= 255)
    }
  }

  @Test func `a name that is refused has no directory for null`() {
    let name = String(repeating: "n", count: PartitionStep.nameBytesMax)
    #expect(partitionPath([(name: name, value: nil)]).utf8.count == 255)
    #expect(PartitionStep.nameBytes("a b=ü/") == 11)
  }

  @Test func `directories that were valid names stay as they are`() {
    #expect(partitionPath([(name: "t_day", value: "2026-01-31"), (name: "kind", value: "a/b")]) == "t_day=2026-01-31/kind=a%2Fb")
    #expect(partitionPath([(name: "k", value: nil)]) == "k=__HIVE_DEFAULT_PARTITION__")
    let long = String(repeating: "x", count: 150)
    #expect(partitionPath([(name: String(repeating: "n", count: 104), value: long)]).hasSuffix("=" + long))
    #expect(partitionPath([(name: String(repeating: "n", count: 105), value: long)]).contains("=sha256-"))
    for value in [long + "x", String(repeating: "/", count: 67)] {
      #expect(partitionPath([(name: "k", value: value)]) == older("k", value))
    }
    // A path that fits is not shortened, whatever the bound.
    let three = (0..<3).map { (name: "c\($0)", value: String?(String(repeating: "v", count: 150))) }
    #expect(partitionPath(three, bytesMax: 461) == partitionPath(three))
  }

  @Test func `a path that is too long has hashes, the longest value first, and only as many as needed`() {
    let values = [
      (name: "a", value: String?(String(repeating: "v", count: 150))), (name: "b", value: "short"),
      (name: "c", value: String(repeating: "w", count: 140)),
    ]
    let one = partitionPath(values, bytesMax: 300)
    #expect(one.utf8.count <= 300 && one.hasPrefix("a=sha256-") && one.contains("/b=short/c=www"))
    let two = partitionPath(values, bytesMax: 200)
    #expect(two.utf8.count <= 200 && two.contains("/b=short/c=sha256-"))
    let least = partitionPath(values, bytesMax: 80)
    #expect(least.utf8.count <= 80 && least.contains("/b=short/"))
    // Other values have other directories, also with short hashes.
    var others = values
    others[0].value = String(repeating: "v", count: 149) + "x"
    #expect(partitionPath(others, bytesMax: 80) != least)
  }
}
