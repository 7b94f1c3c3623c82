import Testing
import WeirCore
import WeirS3Settings

@testable import WeirPlan

@Suite struct PlaceCheckTests {
  private static func place(_ text: String) throws -> PlaceCheck.Named {
    .init(text, S3Location.accepts(text) ? PlacePath(try S3Location(text)) : PlacePath(absolute: text))
  }

  private static func check(lake: String, capture: String? = nil, state: String? = nil) throws -> PlaceCheck {
    var check = PlaceCheck()
    check.lake = try place(lake)
    check.captures =
      try capture.map { text in
        [.init(text, S3Location.accepts(text) ? PlacePath(try S3Location(objects: text)) : PlacePath(absolute: text))]
      } ?? []
    check.state = try state.map(place)
    return check
  }

  /// Capture, lake, and words of the refusal; empty: none.
  @Test(arguments: [
    ("/d/in.ndjson", "/d/lake", ""), ("/d/in.ndjson", "/d", ""), ("/d/cap", "/d/lake", ""), ("/d/cap", "/d/cap2", ""),
    ("/d/lake/exports/in.ndjson", "/d/lake", ""), ("/d/cap", "/d/cap", "is also its own capture"),
    ("/d/cap", "/d/cap/lake", "inside its own capture /d/cap"), ("/", "/d/lake", "inside its own capture /"),
    ("/d/lake/_weir/p/ledger/0.json", "/d/lake", "inside the ledgers (_weir) of its own lake /d/lake"),
    ("/d/lake/bronze/s/x.ndjson", "/d/lake", "inside the tables (bronze) of its own lake"),
    ("/d/other/_weir/p/x.json", "/d/lake", "/d/other/_weir"), ("/d/t/_delta_log/0.json", "/d/lake", "/d/t/_delta_log"),
    ("s3://bkt/own", "s3://bkt/own/weir", "inside its own capture s3://bkt/own"), ("s3://bkt/own", "s3://bkt/own", "its own capture"),
    ("s3://bkt/own/", "s3://bkt/own/weir", "its own capture"), ("s3://bkt", "s3://bkt/weir", "its own capture"),
    ("s3://bkt/own", "s3://bkt/own-weir", ""), ("s3://bkt/own", "s3://bkt/weir", ""), ("s3://bkt/own", "s3://other/own/weir", ""),
    ("s3://bkt/own//a", "s3://bkt/own/a/b", ""), ("s3://bkt/own", "/bkt/own/weir", ""), ("/own", "s3://bkt/own", ""),
    ("s3://bkt/lake/in", "s3://bkt/lake", ""), ("s3://bkt/lake/gold/t/x.json", "s3://bkt/lake", "inside the tables (gold)"),
    ("s3://bkt/lake/_weir/p", "s3://bkt/lake", "inside the ledgers"),
  ]) func `a lake is not inside its capture, and a capture not inside a ledger or a table`(
    _ capture: String, _ lake: String, _ words: String
  ) throws {
    let problem = try PlaceCheckTests.check(lake: lake, capture: capture).problem()
    #expect(words.isEmpty == (problem == nil), "\(problem.map(\.message) ?? "accepted")")
    guard let problem else { return }
    #expect(problem.message.contains(words) && problem.message.contains(capture) && problem.advice != nil, "\(problem.message)")
  }

  /// Lake, state table, what is above them (a table, or a lake with `#`), and words of the refusal.
  @Test(
    arguments: [
      ("/d/lake", nil, [], ""), ("/d/lake", "/d/state", ["#/d/lake"], ""), ("/d/lake", "/d/lake/state", ["#/d/lake"], ""),
      ("/d/lake/inner", nil, ["#/d/lake"], ""), ("/", nil, [], "root of the file system"), ("s3://bkt", nil, [], ""),
      ("/d/t/lake", nil, ["/d/t"], "inside the Delta table /d/t"), ("/d/t", nil, ["/d/t"], "is the Delta table /d/t"),
      ("/d/t/x/y/z", nil, ["/d/t"], "a VACUUM of that table deletes it"), ("/d/lake/_weir", nil, [], "inside /d/lake/_weir"),
      ("/d/lake/_weir/p/q", nil, [], "the ledgers of a lake"), ("/d/t/_delta_log/q", nil, [], "the log of a table"),
      ("/d/lake/gold/new", nil, ["#/d/lake"], "inside the tables (gold) of the lake /d/lake"), ("/d/gold/new", nil, [], ""),
      ("s3://bkt/a/bronze/t/l", nil, ["s3://bkt/a/bronze/t"], "the Delta table s3://bkt/a/bronze/t"),
      ("s3://bkt/l", nil, ["s3://bkt"], "inside the Delta table s3://bkt:"),
      ("s3://bkt/a/_weir/l", nil, [], "inside s3://bkt/a/_weir"), ("/d/lake", "/d/lake/_weir/state", [], "the state table"),
      ("/d/lake", "/d/lake/silver/s", [], "the tables (silver) of the lake /d/lake"),
      ("/d/lake", "/e/t/s", ["/e/t"], "the Delta table /e/t"),
      ("s3://bkt/l", "/e/_weir/s", [], "/e/_weir"),
    ] as [(String, String?, [String], String)])
  func `neither a lake nor a state table is inside a table or a ledger`(
    _ lake: String, _ state: String?, _ above: [String], _ words: String
  ) throws {
    var check = try PlaceCheckTests.check(lake: lake, state: state)
    for text in above {
      let path = try PlaceCheckTests.place(text.hasPrefix("#") ? String(text.dropFirst()) : text).path
      if text.hasPrefix("#") { check.lakes.insert(path) } else { check.tables.insert(path) }
    }
    let problem = check.problem()
    #expect(words.isEmpty == (problem == nil), "\(problem.map(\.message) ?? "accepted")")
    guard let problem else { return }
    #expect(problem.message.contains(words) && problem.message.contains(state ?? lake), "\(problem.message)")
  }

  @Test func `what a link leads to is named next to what was written`() throws {
    var check = PlaceCheck()
    check.lake = .init("link/x", PlacePath(absolute: "/d/t/x"))
    check.tables = [PlacePath(absolute: "/d/t")]
    #expect(check.problem()?.message.hasPrefix("the lake link/x (/d/t/x) is inside the Delta table /d/t") == true)
    check.lake = .init("t/x", PlacePath(absolute: "/d/t/x"))
    #expect(check.problem()?.message.hasPrefix("the lake t/x is inside the Delta table /d/t") == true)
  }

  @Test func `tables are looked for from the place up to the root, lakes only above directories of tables`() {
    func looks(_ path: PlacePath) -> [String] { PlaceCheck.looks(above: path).map { ($0.isLake ? "#" : "") + $0.path.text } }
    #expect(looks(PlacePath(absolute: "/a/gold/b")) == ["/a/gold/b", "/a/gold", "/a", "#/a", "/"])
    #expect(looks(PlacePath(root: "s3://bkt", steps: ["late"])) == ["s3://bkt/late", "s3://bkt", "#s3://bkt"])
  }
}
