import Foundation
import Testing
import WeirCore

@testable import WeirConfiguration
@testable import WeirPlan

@Suite struct PathTextTests {
  static let addresses = [
    "s3:/b", "s3:b", "s3://b/l", "S3A://b", "file:zz", "file:/zz", "file:///zz", "gs:b", "hdfs:/x", "C:/data", "c:\\data", "x:y", "http:x",
    "weird+x-1.y:z",
  ]

  @Test(arguments: addresses) func `an address is no path, with slashes or without`(_ text: String) {
    #expect(PathText.problem(text) != nil)
    #expect(throws: WeirError.self) { try PathText.checked(text, "--lake") }
    // The way that the advice names.
    #expect(PathText.problem("./" + text) == nil)
  }

  @Test(arguments: [("file:zz", "zz"), ("file:/zz", "/zz"), ("file:///zz/a", "/zz/a"), ("file:a/b", "a/b")])
  func `the advice for a file address is its path`(_ text: String, _ path: String) {
    #expect(PathText.problem(text)?.advice == "Write the path itself: \(path)")
  }

  @Test(arguments: ["lake", "/lake", "./a:b", "a/b:c", "2026-01-31T00:00.json", "1:2", "-x:y", ".x:y", "ä:b", ":x", "a b:c"])
  func `what has not the form of a scheme is a path`(_ text: String) { #expect(PathText.problem(text) == nil) }

  /// The settings of a pipeline file that are paths.
  @Test(arguments: [
    "store: {lmdb: ADDRESS}", "lookups: {l: {file: ADDRESS, key: k}}", "admin: {token: {file: ADDRESS}}",
    "source: {kafka: {brokers: 'h:1', topic: t, group: g, tls: {ca: ADDRESS}}}",
    "source: {kafka: {brokers: 'h:1', topic: t, group: g, tls: {certificate: ADDRESS, key: {env: X}}}}",
    "source: {kafka: {brokers: 'h:1', topic: t, group: g, tls: {certificate: x, key: {file: ADDRESS}}}}",
    "source: {kafka: {brokers: 'h:1', topic: t, group: g, sasl: {mechanism: OAUTHBEARER, token: {file: ADDRESS}}}}",
    "sinks: {kafka: {topics: {quarantine: q}, brokers: 'h:1', tls: {ca: ADDRESS}}}",
    "record: {format: avro, registry: {url: 'http://h:1', tls: {ca: ADDRESS}}, fields: {k: string}}",
    "record: {format: avro, registry: {url: 'http://h:1', token: {file: ADDRESS}}, fields: {k: string}}",
  ])
  func `every path of a pipeline file refuses an address`(_ setting: String) {
    // Files of lookups may be in a bucket.
    for address in PathTextTests.addresses where !(setting.hasPrefix("lookups") && address.hasPrefix("s3://")) {
      var sections = ["pipeline: p", "source: {capture: {stream: s}}", "record: {fields: {k: string}}", "silver: {}"]
      let key = setting.prefix { $0 != ":" } + ":"
      sections.removeAll { $0.hasPrefix(key) }
      let yaml = (sections + [setting.replacing("ADDRESS", with: "'\(address)'")]).joined(separator: "\n")
      let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "p.yaml") }
      let found = error?.diagnostics.filter { $0.message.contains("is an address") } ?? []
      #expect(found.count == 1, "\(setting) with \(address): \(error?.description ?? "taken")")
    }
  }

  @Test(arguments: addresses.filter { $0 != "s3://b/l" }) func `a lake is no address but that of a bucket`(_ text: String) {
    #expect(PathText.lakeProblem(text)?.reason.contains("is an address") == true)
    #expect(throws: WeirError.self) { try PathText.checkedLake(text, "--lake") }
  }

  @Test func `a lake may be in a bucket`() throws {
    #expect(try PathText.checkedLake("s3://bucket/a b//", "--lake") == "s3://bucket/a b//")
    #expect(PathText.lakeProblem("s3://b/l")?.reason.contains("not the name of a bucket") == true)
    #expect(PathText.lakeProblem("./s3://bucket") == nil && PathText.lakeProblem("s3:/bucket")?.advice.contains("s3://BUCKET") == true)
    for (text, meant) in [
      ("s3:/bkt/x", "s3://bkt/x;"), ("s3//bkt", "s3://bkt;"), ("S3//bkt/x", "s3://bkt/x;"), ("s3a://bkt/x", "s3://bkt/x;"),
      ("s3:bkt", "s3://bkt;"),
      ("s3:\\bkt", "s3://bkt;"), ("s3//b", "s3://BUCKET"),
    ] { #expect(PathText.lakeProblem(text)?.advice.contains(meant) == true, "\(text)") }
    for path in ["s3/bkt", "./s3//bkt", "s3", "s3bkt//x", "/s3//bkt"] { #expect(PathText.lakeProblem(path) == nil, "\(path)") }
    #expect(Paths.lake("s3://bucket/x", in: "/a") == "s3://bucket/x" && Paths.lake("x", in: "/a") == "/a/x")
  }

  private func lake(_ section: String) throws -> LakeSpec {
    try loadPipeline(
      yaml: "pipeline: p\nsource: {capture: {stream: s}}\nrecord: {fields: {k: string}}\nsilver: {}\nlake: \(section)", file: "p.yaml"
    ).plan.lake
  }

  @Test func `a bucket has settings, which are checked`() throws {
    let settings = try lake(
      "{path: 's3://bucket/x', s3: {region: eu-west-1, sse: 'aws:kms', kms_key: alias/w, bucket_key: true, path_style: false}}")
    #expect(settings.path == "s3://bucket/x")
    #expect(settings.store == ["region": "eu-west-1", "sse": "aws:kms", "kms_key": "alias/w", "bucket_key": "true", "path_style": "false"])
    #expect(try lake("{path: ./x}").store == nil)
    for bad in [
      "{path: ./x, s3: {region: eu-west-1}}", "{path: 's3://bucket', s3: {sse: KMS}}", "{path: 's3://bucket', s3: {kms_key: k}}",
      "{path: 's3://bucket', s3: {checksum: md5}}", "{path: 's3://bucket', s3: {path_style: maybe}}",
      "{path: 's3://bucket', s3: {zone: a}}",
      "{path: 's3://bucket', s3: {endpoint: 'host:9000'}}", "{path: 's3://b'}", "{path: 's3a://bucket'}",
    ] { #expect(throws: ConfigurationError.self, "\(bad)") { try lake(bad) } }
  }

  @Test func `paths are shown in their normal form`() {
    #expect(Paths.resolve("./state", in: ".") == "state")
    #expect(Paths.resolve("./state/", in: "././x") == "x/state")
    #expect(Paths.resolve("/a//b/./c", in: "x") == "/a/b/c")
    #expect(Paths.resolve("../b", in: "a") == "a/../b")
    #expect(Paths.resolve(".", in: ".") == "." && Paths.normal("/") == "/")
    for odd in ["./~", "./s3:x", "./$HOME"] { #expect(Paths.normal(odd) == odd) }
  }
}
