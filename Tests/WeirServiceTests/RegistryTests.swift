import Foundation
import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirRegistry

@testable import WeirConfiguration
@testable import WeirPlan

/// The registry client over a transport of the test's own, and its section of a pipeline file.
struct RegistryTests {
  final class Fake: HTTPTransport {
    let answers: [String: (Int, String)]
    let asked = Mutex<[HTTPRequest]>([])

    init(_ answers: [String: (Int, String)]) { self.answers = answers }

    func get(_ request: HTTPRequest) async throws -> HTTPResponse {
      asked.withLock { $0.append(request) }
      let (status, body) = answers[request.url] ?? (404, #"{"error_code": 404}"#)
      return HTTPResponse(status: status, body: Array(body.utf8))
    }
  }

  @Test func schemasComeWithAllThatTheyReferTo() async throws {
    let fake = Fake([
      "http://r/schemas/ids/7": (200, #"{"schema": "top", "references": [{"name": "B", "subject": "b/x", "version": 2}]}"#),
      "http://r/subjects/b%2Fx/versions/2": (200, #"{"schema": "b", "references": [{"name": "C", "subject": "c", "version": 1}]}"#),
      "http://r/subjects/c/versions/1": (200, #"{"schema": "c", "references": [{"name": "B", "subject": "b/x", "version": 2}]}"#),
      "http://r/schemas/guids/01020304-0506-0708-090a-0b0c0d0e0f10": (200, #"{"schema": "{}", "schemaType": "JSON"}"#),
    ])
    let registry = ConfluentRegistry(url: "http://r", transport: fake)
    let schema = try await registry.schema(.number(7))
    #expect(
      schema == RegisteredSchema(type: "AVRO", schema: "top", references: [.init(name: "C", schema: "c"), .init(name: "B", schema: "b")]))
    #expect(try await registry.schema(.guid("01020304-0506-0708-090a-0b0c0d0e0f10")) == RegisteredSchema(type: "JSON", schema: "{}"))
  }

  @Test func answersAreToldApartByWhatHelps() async throws {
    let cases: [(status: Int, body: String, isRetriable: Bool?)] = [
      (404, #"{"error_code": 40403}"#, nil), (404, "<html>", false), (401, "", false), (403, "", false), (429, "", true),
      (500, "", true), (503, "", true), (200, "no json", false), (200, "{}", false), (301, "", false),
    ]
    for item in cases {
      let registry = ConfluentRegistry(url: "http://r", transport: Fake(["http://r/schemas/ids/1": (item.status, item.body)]))
      do {
        let schema = try await registry.schema(.number(1))
        #expect(schema == nil && item.isRetriable == nil, "\(item)")
      } catch let error as WeirError {
        #expect(
          error.isRetriable == item.isRetriable && error.code == (error.isRetriable ? .unavailable : .registry) && error.advice != nil,
          "\(item): \(error)")
      }
    }
  }

  @Test func identityIsReadForEachRequest() async throws {
    let fake = Fake(["http://r/schemas/ids/1": (200, #"{"schema": "x"}"#)])
    let tokens = Mutex(["second", "first"])
    let bearer = ConfluentRegistry(url: "http://r", identity: .bearer({ tokens.withLock { $0.removeLast() } }), transport: fake)
    _ = try await bearer.schema(.number(1))
    _ = try await bearer.schema(.number(1))
    let basic = ConfluentRegistry(url: "http://r", identity: .basic(user: { "Aladdin" }, password: { "open sesame" }), transport: fake)
    _ = try await basic.schema(.number(1))
    let sent = fake.asked.withLock { $0.flatMap(\.headers).filter { $0.name == "Authorization" }.map(\.value) }
    // RFC 7617's example.
    #expect(sent == ["Bearer first", "Bearer second", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="])
  }

  @Test func `credentials that were refused are read again once, if they may be others by now`() async throws {
    let fake = Fake(["http://r/schemas/ids/1": (401, "")])
    for (mayBeOthers, requests) in [(true, 2), (false, 1)] {
      fake.asked.withLock { $0 = [] }
      let refusals = Mutex(0)
      let registry = ConfluentRegistry(
        url: "http://r", identity: .bearer({ "t" }), transport: fake,
        refused: {
          refusals.withLock { $0 += 1 }
          return mayBeOthers
        })
      await #expect(throws: WeirError.self) { try await registry.schema(.number(1)) }
      #expect(fake.asked.withLock { $0.count } == requests && refusals.withLock { $0 } == 1)
    }
  }

  @Test func anAddressThatNobodyAnswersIsRetriableAndABadOneIsNot() async throws {
    let threads = Inline()
    for (url, isRetriable) in [("http://127.0.0.1:9/x", true), ("ftp://127.0.0.1/x", false)] {
      do {
        _ = try await CurlTransport(threads: threads).get(HTTPRequest(url: url))
        Issue.record("\(url) answered")
      } catch let error as WeirError { #expect(error.isRetriable == isRetriable, "\(error)") }
    }
  }

  private struct Inline: BlockingRunner {
    func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T { try work() }
  }

  // MARK: The section

  private static func yaml(_ record: String, fields: String = "{id: string!, t: timestamp_ms!}") -> String {
    """
    pipeline: p
    source: {kafka: {brokers: "h:9092", topic: ads, group: g}}
    record: {\(record)fields: \(fields), time: {field: t}}
    bronze: {}
    """
  }

  private func problems(_ record: String, fields: String = "{id: string!, t: timestamp_ms!}") -> [Diagnostic] {
    do { return try loadPipeline(yaml: RegistryTests.yaml(record, fields: fields), file: "p.yaml").warnings } catch {
      return error.diagnostics
    }
  }

  @Test func registriesAreRead() throws {
    let text = RegistryTests.yaml(
      "format: avro, registry: {url: \"https://r:8081/\", user: {env: U}, password: {file: /p}, tls: {ca: ca.pem}}, ",
      fields: "{id: string!, t: timestamp!, city: {type: string, path: address.city}}")
    let plan = try loadPipeline(yaml: text, file: "p.yaml").plan
    #expect(plan.record.format == FormatSpec(AvroFormat()) && plan.record.fields[2].path == [.name("address"), .name("city")])
    let registry = try #require(plan.record.registry)
    #expect(registry.url == "https://r:8081" && registry.identity == .basic(user: .environment("U"), password: .file("/p")))
    #expect(registry.tls?.authorities == "ca.pem")
    #expect(Explain.text(plan, lookups: []).contains("avro, schemas of https://r:8081"))
  }

  @Test func theRegistryIsNoPartOfThePlansMeaningAndTheFormatIs() throws {
    func text(_ record: String) throws -> String {
      PlanMeaning.text(try loadPipeline(yaml: RegistryTests.yaml(record), file: "p.yaml").plan)
    }
    #expect(try text("format: avro, registry: {url: \"http://a\"}, ") == text("format: avro, registry: {url: \"http://b\"}, "))
    #expect(try text("format: avro, registry: {url: \"http://a\"}, ") != text("format: json-schema, registry: {url: \"http://a\"}, "))
    #expect(try text("format: json, ") == text("") && !text("").contains("format"), "ledgers of a version that knew JSON only go on")
  }

  @Test func aTokenWithALineEndIsNotSent() async throws {
    let fake = Fake(["http://r/schemas/ids/7": (200, #"{"schema": "s"}"#)])
    let registry = ConfluentRegistry(url: "http://r", identity: .bearer { "hunter22\r\nX: y" }, transport: fake)
    let error = await #expect(throws: WeirError.self) { try await registry.schema(.number(7)) }
    #expect(error?.description.contains("hunter22") == false && fake.asked.withLock { $0.isEmpty })
  }

  @Test func mistakesAreTold() {
    let registry = "registry: {url: \"http://r\"}, "
    let cases: [(record: String, fields: String?, code: String, suggestion: String?)] = [
      ("format: avro, ", nil, "missing_key", nil),
      (registry, nil, "bad_value", nil),
      ("format: avr0, " + registry, nil, "bad_value", "avro"),
      ("format: protobuf, ", nil, "missing_key", nil),
      ("format: avro, registry: {ur: x, url: \"http://r\"}, ", nil, "unknown_key", "url"),
      ("format: avro, registry: {url: r}, ", nil, "bad_value", nil),
      ("format: avro, registry: {url: \"http://r:99999\"}, ", nil, "bad_value", nil),
      ("format: avro, registry: {url: \"http://:1\"}, ", nil, "bad_value", nil),
      ("format: avro, registry: {url: \"http://r?key=k\"}, ", nil, "bad_value", nil),
      ("format: avro, registry: {url: \"http://r r\"}, ", nil, "bad_value", nil),
      ("format: avro, registry: {url: \"http://r\", token: {env: A, file: b}}, ", nil, "bad_value", nil),
      ("format: avro, registry: {url: \"http://u:p@r\"}, ", nil, "bad_value", nil),
      ("format: avro, registry: {url: \"http://r\", user: {env: U}}, ", nil, "missing_key", nil),
      ("format: avro, registry: {url: \"http://r\", token: secret}, ", nil, "bad_value", nil),
      ("", "{id: {type: string, path: \"a[\"}, t: timestamp_ms!}", "bad_value", nil),
      ("format: avro, " + registry, "{id: {type: string, path: \"a[0]\"}, t: timestamp_ms!}", "bad_value", nil),
      ("", "{id: {type: string, path: a.b}, a.b: string, t: timestamp_ms!}", "bad_name", nil),
      ("format: avro, " + registry, "{id: {type: string, path: a..b}, t: timestamp_ms!}", "bad_value", nil),
      ("format: avro, " + registry, "{id: {type: string, path: a}, a: string, t: timestamp_ms!}", "bad_value", nil),
      ("format: avro, " + registry, "{id: {type: string, pth: a, path: b}, t: timestamp_ms!}", "unknown_key", "path"),
    ]
    for item in cases {
      let found = item.fields.map { problems(item.record, fields: $0) } ?? problems(item.record)
      #expect(found.count == 1 && found.first?.code == item.code, "\(item): \(found.map(\.text))")
      #expect(item.suggestion == nil || found.first?.suggestion == item.suggestion, "\(item): \(found.map(\.text))")
      #expect(found.first?.line == 3)
    }
  }
}
