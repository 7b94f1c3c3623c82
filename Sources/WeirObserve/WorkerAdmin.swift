import Foundation
import WeirCore
import WeirEngine
import WeirPlan
import WeirReport

/// A worker's admin server, where one is asked for: the same for `weir run` and `weir replay`.
package struct WorkerAdmin {
  package let routes: AdminRoutes
  private let address: AdminAddress?
  private let access: AdminAccess?

  /// - Parameters:
  ///   - listen: where it listens; nil: nowhere.
  ///   - drain: asks the worker to end in order, as SIGTERM does.
  /// - Throws: `config` for an address that cannot be used, or that needs a token.
  package init(_ plan: Plan, listen: String?, watch: WorkerWatch, drain: @escaping @Sendable () -> Void) throws {
    address = if let listen { try AdminAddress(listen) } else { nil }
    access = if let address { try AdminAccess(plan.admin ?? AdminSpec(), address) } else { nil }
    routes = AdminRoutes(watch, access: access, drain: drain)
  }

  package func start(_ host: any AdminHost, _ log: Log) async throws {
    guard let address else { return }
    let port = try await host.start(address) { [routes] in await routes.respond(to: $0) }
    var bound = address
    bound.port = port
    let isOpen = !address.isLoopback && access?.token == nil
    log.info(
      "admin server on http://\(bound.text)"
        + (isOpen ? ": without a token (admin.insecure): any program that reaches it can read state and drain the worker" : ""),
      [.init("event", .string("admin")), .init("address", .string(bound.text))])
  }
}
