/// Requests wait at it while it is shut.
public actor StoreGate {
  private var isShut: Bool
  private var requests: [CheckedContinuation<Void, Never>] = []
  private var watchers: [CheckedContinuation<Void, Never>] = []

  public init(isShut: Bool = false) { self.isShut = isShut }

  /// Waits until a request waits here.
  public func whenARequestWaits() async { if requests.isEmpty { await withCheckedContinuation { watchers.append($0) } } }

  public func shut() { isShut = true }

  public func pass() async {
    guard isShut else { return }
    await withCheckedContinuation { request in
      requests.append(request)
      for watcher in watchers { watcher.resume() }
      watchers = []
    }
  }

  /// Lets all through, for good.
  public func open() {
    isShut = false
    for request in requests { request.resume() }
    requests = []
  }
}
