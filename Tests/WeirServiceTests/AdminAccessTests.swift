import Foundation
import Testing
import WeirCore
import WeirLocal

@testable import WeirEngine
@testable import WeirReport
@testable import WeirPlan
@testable import WeirObserve
@testable import WeirConfiguration

@Suite struct AdminAccessTests {
  static let token = "correct-horse-battery-staple"
  static let paths: [AdminRoute: String] = [.index: "/", .state: "/state/t/k"]

  static func access(_ change: (inout AdminSpec) -> Void = { _ in }, at address: String = "127.0.0.1:1") throws -> AdminAccess {
    var spec = AdminSpec()
    change(&spec)
    return try AdminAccess(spec, try AdminAddress(address))
  }

  /// An access that wants the token, which is in a file.
  static func guarded(metrics: Bool = false) throws -> AdminAccess {
    let path = NSTemporaryDirectory() + "weir-token-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("\(token)\n".utf8).write(to: URL(fileURLWithPath: path))
    return try access({ ($0.token, $0.protectsMetrics) = (.file(path), metrics) }, at: "0.0.0.0:1")
  }

  static func routes(_ access: AdminAccess) throws -> AdminRoutes {
    let pipeline = try loadPipeline(
      yaml: "pipeline: p\nsource: {capture: {stream: s}}\nrecord: {fields: {k: string}}\nsilver: {}\n", file: "p.yaml")
    let clock = SystemClock()
    let log = Log(Console { _, _ in }, format: .text, level: .error, clock: clock)
    return AdminRoutes(WorkerWatch(pipeline.plan, meter: LiveMeter(clock: clock), log: log, clock: clock), access: access) {}
  }

  static func ask(
    _ routes: AdminRoutes, _ path: String, _ method: String = "GET", hosts: [String] = ["127.0.0.1:9464"], _ authorization: String? = nil
  )
    async -> AdminResponse
  {
    await routes.respond(to: AdminRequest(method: method, target: path, hosts: hosts, authorization: authorization))
  }

  @Test func `every route but probes asks for the token, metrics by setting, and so do paths that do not exist`() async throws {
    for protectsMetrics in [false, true] {
      let routes = try AdminAccessTests.routes(try AdminAccessTests.guarded(metrics: protectsMetrics))
      let open: Set<AdminRoute> = protectsMetrics ? [.live, .ready, .started] : [.live, .ready, .started, .metrics]
      let all = AdminRoute.allCases.map { ($0, AdminAccessTests.paths[$0] ?? "/\($0.rawValue)") }
      for (route, path) in all {
        for method in ["GET", "HEAD", "POST", "PUT"] {
          for wrong in [
            nil, "", "Bearer", "Bearer ", "Bearer x", "Bearer \(AdminAccessTests.token)x", "Bearer \(AdminAccessTests.token.dropLast())",
            "Basic \(AdminAccessTests.token)", AdminAccessTests.token,
          ] {
            let answer = await AdminAccessTests.ask(routes, path, method, wrong)
            #expect((answer.status == 401) == !open.contains(route), "\(method) \(path) with \(wrong ?? "nothing"): \(answer.status)")
            if answer.status == 401 { #expect(answer.authenticate == "Bearer") }
          }
          for right in ["Bearer \(AdminAccessTests.token)", "bearer \(AdminAccessTests.token)"] {
            #expect(await AdminAccessTests.ask(routes, path, method, right).status != 401, "\(method) \(path)")
          }
        }
      }
      for path in ["/nothing", "/live/x", "/state", "/%zz", "/metrics/x"] {
        #expect(await AdminAccessTests.ask(routes, path).status == 401, "\(path)")
      }
    }
  }

  @Test func `every route refuses a host that is not ours, with and without the token`() async throws {
    for access in [try AdminAccessTests.guarded(), try AdminAccessTests.access()] {
      let routes = try AdminAccessTests.routes(access)
      for route in AdminRoute.allCases {
        let path = AdminAccessTests.paths[route] ?? "/\(route.rawValue)"
        for host in [
          "evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.example", "worker", "[::1%25evil]",
        ] {
          let answer = await AdminAccessTests.ask(routes, path, "GET", hosts: [host], "Bearer \(AdminAccessTests.token)")
          #expect(answer.status == 421, "\(path) as \(host): \(answer.status)")
        }
      }
    }
  }

  @Test func `addresses, localhost, the host that is listened on and configured names are ours`() async throws {
    let access = try AdminAccessTests.access({ ($0.hosts, $0.isInsecure) = (["Weir.Example"], true) }, at: "worker-1:9464")
    let routes = try AdminAccessTests.routes(access)
    for host in [
      "127.0.0.1", "10.1.2.3:9464", "[::1]:9464", "[fe80::1]", "localhost", "LOCALHOST:1", "localhost.", "worker-1:9464",
      "weir.example",
      "WEIR.example.:80",
    ] {
      #expect(await AdminAccessTests.ask(routes, "/live", hosts: [host]).status == 200, "\(host)")
    }
  }

  @Test func `a request for no server, for two, or for a malformed one is answered 400 on every route`() async throws {
    let routes = try AdminAccessTests.routes(try AdminAccessTests.access())
    for path in AdminRoute.allCases.map({ AdminAccessTests.paths[$0] ?? "/\($0.rawValue)" }) {
      for hosts in [
        [], ["localhost", "localhost"], ["localhost", "evil.example"], [""], ["[::1].evil.example"], ["[::1]evil"], ["[::1"], ["::1"],
        ["127.0.0.1:abc"], ["127.0.0.1:70000"], ["127.0.0.1:-1"], ["127.0.0.1:+1"], ["localhost:1:2"], ["u@localhost"], ["localhost/x"],
        ["local host"], ["0x7f.1"], ["1.2.3"], ["[127.0.0.1]"], ["localhost, evil.example"], ["localhost:\u{661}"], ["[]"], ["."],
        ["127.0.0.1\0.evil.example"], ["[::1\0evil]:1"],
      ] {
        #expect(await AdminAccessTests.ask(routes, path, hosts: hosts).status == 400, "\(path) as \(hosts)")
      }
    }
  }

  @Test func `the host of a whole target replaces that of the header`() async throws {
    let routes = try AdminAccessTests.routes(try AdminAccessTests.access())
    func status(_ target: String, _ hosts: [String], isHTTP10: Bool = false) async -> Int {
      await routes.respond(to: AdminRequest(method: "GET", target: target, hosts: hosts, isHTTP10: isHTTP10)).status
    }
    #expect(await status("http://evil.example/live", ["localhost"]) == 421)
    #expect(await status("HTTP://127.0.0.1:9464/live", ["evil.example"]) == 200)
    #expect(await status("https://localhost/live?x=y", []) == 200)
    #expect(await status("http://localhost/live", ["localhost", "localhost"]) == 400)
    #expect(await status("http://localhost/live", ["local host"]) == 400)
    #expect(await status("http://user@localhost/live", ["localhost"]) == 400)
    #expect(await status("http:///live", ["localhost"]) == 400)
    #expect(await status("ftp://localhost/live", ["localhost"]) == 400)
    #expect(await status("localhost:9464", ["localhost"]) == 400)
    #expect(await status("", ["localhost"]) == 400)
    #expect(await status("/live", [], isHTTP10: true) == 200)
    #expect(await status("/live", ["evil.example"], isHTTP10: true) == 421)
  }

  /// Texts of a few pieces that decide: only what a pattern of our own accepts is answered.
  @Test func `no text of a Host is accepted that the grammar does not have`() throws {
    let pieces = [
      "127.0.0.1", "localhost", "[::1]", "::1", "[", "]", ":", "9464", "0", "99999", "x", ".", "@", "%", "%25", " ", ",", "/", "evil",
      "\u{0}", "é",
    ]
    let access = try AdminAccessTests.access()
    let right = try Regex(#"(127\.0\.0\.10{0,2}\.?|localhost\.?|\[::1\])(:([0-9]{0,5}))?"#)
    var texts = [""]
    for _ in 0..<3 { texts += texts.flatMap { text in pieces.map { text + $0 } } }
    for text in Set(texts) {
      let request = AdminRequest(method: "GET", target: "/live", hosts: [text])
      let isRight =
        try right.wholeMatch(in: text).map { match in Int(match.output[3].substring ?? "").map { $0 <= 65_535 } ?? true } ?? false
      let refusal = access.refusal(of: request, needs: .nothing)
      // Any address is ours, so 127.0.0.10 is.
      #expect((refusal == nil) == isRight, "\(text): \(refusal?.status ?? 200)")
      let target = AdminRequest(method: "GET", target: "http://\(text)/live", hosts: [])
      if !text.contains("/") { #expect((access.refusal(of: target, needs: .nothing) == nil) == isRight, "target \(text)") }
    }
  }

  @Test func `an address that others reach needs a token or the word insecure`() throws {
    for address in ["0.0.0.0:1", "10.0.0.1:1", "[::]:1", "worker:1"] {
      #expect(throws: WeirError.self) { try AdminAccessTests.access(at: address) }
      #expect(throws: Never.self) { try AdminAccessTests.access({ $0.isInsecure = true }, at: address) }
      func load(_ more: String) throws {
        _ = try loadPipeline(
          yaml:
            "pipeline: p\nsource: {capture: {stream: s}}\nrecord: {fields: {k: string}}\nsilver: {}\nadmin: {listen: \"\(address)\"\(more)}\n",
          file: "p.yaml")
      }
      #expect(throws: ConfigurationError.self) { try load("") }
      #expect(throws: ConfigurationError.self) { try load(", insecure: false") }
      #expect(throws: ConfigurationError.self) { try load(", insecure: true, token: {env: NOT_SET}") }
      #expect(throws: Never.self) { try load(", insecure: true") }
      #expect(throws: Never.self) { try load(", token: {env: NOT_SET}") }
    }
    for address in ["127.0.0.1:1", "localhost:1", "[::1]:1"] { #expect(throws: Never.self) { try AdminAccessTests.access(at: address) } }
  }

  @Test func `a token that is missing or short is refused, and never shown`() throws {
    #expect(throws: WeirError.self) { try AdminAccessTests.access { $0.token = .environment("WEIR_NOT_SET") } }
    let path = NSTemporaryDirectory() + "weir-token-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("hunter22".utf8).write(to: URL(fileURLWithPath: path))
    let error = #expect(throws: WeirError.self) { try AdminAccessTests.access { $0.token = .file(path) } }
    #expect(error?.description.contains("hunter22") == false)
  }

  @Test func `a token that cannot be used is a warning of check where it is known, and never shown`() throws {
    let path = NSTemporaryDirectory() + "weir-token-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    func warnings(_ token: String?) throws -> [Diagnostic] {
      if let token { try Data(token.utf8).write(to: URL(fileURLWithPath: path)) }
      let place = token == nil ? "{file: \(path).none}" : "{file: \(path)}"
      return try loadPipeline(
        yaml: "pipeline: p\nsource: {capture: {stream: s}}\nrecord: {fields: {k: string}}\nsilver: {}\nadmin: {token: \(place)}\n",
        file: "p.yaml", sections: .withClients
      ).warnings
    }
    for bad in ["hunter22", "hunter22 hunter22 hunter22", "hunter22hunter22\nhunter22hunter22"] {
      let found = try warnings(bad)
      #expect(found.map(\.code) == ["bad_token"] && found.allSatisfy { $0.severity == .warning && !$0.text.contains("hunter22") }, "\(bad)")
      #expect(throws: WeirError.self) { try AdminAccessTests.access { $0.token = .file(path) } }
    }
    #expect(try warnings(AdminAccessTests.token + "\n") == [] && warnings(nil) == [])
  }

  @Test func `tokens are equal only as a whole`() {
    let token = Array("abcd".utf8)
    #expect(AdminAccess.equal(token, token))
    for wrong in ["", "a", "abc", "abcda", "abcdabcd", "bbcd", "abce"] { #expect(!AdminAccess.equal(Array(wrong.utf8), token), "\(wrong)") }
  }
}
