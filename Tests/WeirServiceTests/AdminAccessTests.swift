import Foundation
import Testing
import WeirCore
import WeirLocal

@testable import WeirEngine
@testable import WeirService

@Suite struct AdminAccessTests {
  static let token = "correct-horse-battery-staple"
  static let paths: [AdminRoute: String] = [.index: "/", .state: "/state/t/k"]

  static func access(_ change: (inout AdminSpec) -> Void = { _ in }, at address: String = "127.0.0.1:1") throws -> AdminAccess {
    var spec = AdminSpec()
    change(&spec)
    return try AdminAccess(spec, try AdminAddress(address))
  }

  /// An access that wants the token, which stands in a file.
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
    _ routes: AdminRoutes, _ path: String, _ method: String = "GET", host: String? = "127.0.0.1:9464", _ authorization: String? = nil
  )
    async -> AdminResponse
  {
    await routes.respond(to: AdminRequest(method: method, target: path, host: host, authorization: authorization))
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
          "evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.example", "", "0x7f.1", "[::1", "worker", "1.2.3",
          "127.0.0.1\0.evil.example", "[::1\0evil]:1",
        ] {
          let answer = await AdminAccessTests.ask(routes, path, "GET", host: host, "Bearer \(AdminAccessTests.token)")
          #expect(answer.status == 421, "\(path) as \(host): \(answer.status)")
        }
      }
    }
  }

  @Test func `addresses, localhost, the host that is listened on and configured names are ours`() async throws {
    let access = try AdminAccessTests.access({ ($0.hosts, $0.isInsecure) = (["Weir.Example"], true) }, at: "worker-1:9464")
    let routes = try AdminAccessTests.routes(access)
    for host in [
      nil, "127.0.0.1", "10.1.2.3:9464", "[::1]:9464", "[fe80::1]", "localhost", "LOCALHOST:1", "localhost.", "worker-1:9464",
      "weir.example",
      "WEIR.example.:80",
    ] {
      #expect(await AdminAccessTests.ask(routes, "/live", host: host).status == 200, "\(host ?? "none")")
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

  @Test func `tokens are equal only as a whole`() {
    let token = Array("abcd".utf8)
    #expect(AdminAccess.equal(token, token))
    for wrong in ["", "a", "abc", "abcda", "abcdabcd", "bbcd", "abce"] { #expect(!AdminAccess.equal(Array(wrong.utf8), token), "\(wrong)") }
  }
}
