import Foundation
import Testing

@testable import WeirConfiguration

/// Files with aliases: what is meant well loads, and no bomb hangs or crashes the loader.
@Suite struct AliasBoundsTests {
  static let head =
    "pipeline: p\nsource: {capture: {stream: s}}\nrecord: {fields: {k: string!, t: timestamp!}, time: {field: t}}\nsilver: {}\n"

  static func codes(_ yaml: String) -> [String] {
    do {
      _ = try loadPipeline(yaml: yaml, file: "p.yaml")
      return []
    } catch { return error.diagnostics.map(\.code) }
  }

  @Test func `aliases that spare writing are no bomb`() {
    var yaml = AliasBoundsTests.head + "gold:\n"
    for i in 0..<12 {
      yaml +=
        "  a\(i):\n    by: &by\(i) [k]\n    window: &w\(i) {tumbling: \(i + 1)s, lateness: 1s}\n    measure: &m\(i)\n      c: count()\n"
    }
    for i in 0..<12 {
      for j in 0..<12 { yaml += "  b\(i)_\(j): {by: *by\(i), window: *w\(j), measure: {c: count()}}\n" }
    }
    #expect(AliasBoundsTests.codes(yaml) == [])
    let nested = AliasBoundsTests.head + "gold:\n  a: &a {by: &b [k], window: &w {tumbling: 1s}, measure: &m {c: count()}}\n  z: *a\n"
    #expect(AliasBoundsTests.codes(nested) == [])
  }

  /// Each bomb as the key of a mapping, which is what the parser hashes; the levels in several notations: N is the level's number, P the one
  /// before, DEEP and PEED are brackets.
  @Test(arguments: [
    "aN: &aN [*aP,*aP]\n", "aN: &aN\n  - *aP\n  - *aP\n", "aN: &aN {x: *aP, ? *aP : y}\n", "aN: &aN\n  x: *aP\n  y: ['\"]', *aP]\n",
    "'aN': &aN [\"]\", *aP, # ]\n *aP]\n", "? [x]\n: &a0 [*a0, *a0]\n", "? N\n: &aN [?*aP,?*aP]\n", "aN: &aN [!<a]> x, *aP, *aP]\n",
    // A chain without branches: as deep as it is long.
    "aN: &aN [DEEP*aPPEED]\n",
  ])
  func `a bomb of aliases is refused at once`(_ level: String) {
    func text(_ number: Int) -> String {
      level.replacing("DEEP", with: String(repeating: "[", count: 900)).replacing("PEED", with: String(repeating: "]", count: 900))
        .replacing("N", with: "\(number)").replacing("P", with: "\(number - 1)")
    }
    for levels in [30, 60, 400] {
      let bomb = "a0: &a0 [x, x]\n" + (1...levels).map(text).joined()
      for key in ["? *a\(levels)\n: y\n", "{? *a\(levels) : y}: z\n", "*a0 : y\n", ""] {
        for yaml in [AliasBoundsTests.head + bomb + key, bomb + key + AliasBoundsTests.head] {
          let codes = AliasBoundsTests.codes(yaml)
          #expect(codes == ["too_large"], "\(levels) levels, \(key): \(codes)")
        }
      }
    }
  }

  @Test func `what is just within the bounds is parsed without a crash`() {
    let brackets = (String(repeating: "[", count: 900), String(repeating: "]", count: 900))
    let chain = (1...AliasBounds.levelsMax).map { "a\($0): &a\($0) [\(brackets.0)*a\($0 - 1)\(brackets.1)]\n" }.joined()
    let codes = AliasBoundsTests.codes(
      AliasBoundsTests.head + "a0: &a0 [x]\n" + chain + "? {? [*a\(AliasBounds.levelsMax - 1)] : y}\n: z\n")
    #expect(!codes.isEmpty && !codes.contains("too_large"), "\(codes)")
  }

  @Test func `the bound holds however anchors and aliases are mixed`() {
    // Seeded: whatever is not refused must be loaded in no time. A hang is what this test is about.
    var state: UInt64 = 7
    func next(_ n: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % n
    }
    let pieces = ["&aN [", "*aN,", "*aN : x,", "],", "{", "},", "&aN {", "x,", "\n", "? ", "'[*&',", "? *aN : 1,"]
    for _ in 0..<400 {
      var yaml = AliasBoundsTests.head + "state: ["
      for _ in 0..<300 { yaml += pieces[next(pieces.count)].replacing("N", with: "\(next(6))") }
      _ = AliasBoundsTests.codes(yaml + "]\n")
    }
  }
}
