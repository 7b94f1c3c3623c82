import CMicroHTTPD
import Glibc
import Synchronization

/// The open connections of the admin server, a bounded number. A new connection does not wait for a free one: it closes one by
/// ``ConnectionRanks``.
final class Connections: Sendable {
  static let max = 64

  private let ranks = Mutex(ConnectionRanks())
  private let clock = ContinuousClock()

  /// On the library's thread.
  func changed(_ connection: OpaquePointer, isOpen: Bool) {
    let id = UInt(bitPattern: connection)
    // Under the lock: the library closes the socket of a connection, whose number may then be another's, after this call for it.
    ranks.withLock { ranks in
      if !isOpen { return ranks.close(id) }
      ranks.open(id, socket: weir_http_socket(connection), at: clock.now)
      // The library sees the end of both directions, and closes the connection.
      if ranks.count > Connections.max, let socket = ranks.evict(for: id, at: clock.now) { shutdown(socket, Int32(SHUT_RDWR)) }
    }
  }

  func answering(_ connection: OpaquePointer) { ranks.withLock { $0.mark(UInt(bitPattern: connection), isBusy: true) } }

  func quiet(_ connection: OpaquePointer) { ranks.withLock { $0.mark(UInt(bitPattern: connection), isBusy: false) } }
}

/// Which connection a further one replaces: the one that has been quiet for the longest time, or, where all are answering or were opened
/// just now, the one that got the most answers. So connections that are held open, that send a request byte by byte, or that send very
/// many requests without reading the answers, cannot keep probes out, however many they are. Pure.
struct ConnectionRanks {
  /// After it was opened: a probe's request may come a moment after its connection, while others open theirs.
  static let newMax = Duration.seconds(2)

  private struct Entry {
    var socket: Int32
    /// Answering a request: closed only where all are.
    var isBusy = false
    /// Requests that it sent.
    var requests = 0
    var openedAt: ContinuousClock.Instant
    /// Of its last change, counted over all connections.
    var order: UInt64
  }

  private var entries: [UInt: Entry] = [:]
  private var order: UInt64 = 0

  var count: Int { entries.count }

  mutating func open(_ id: UInt, socket: Int32, at now: ContinuousClock.Instant) {
    order += 1
    entries[id] = Entry(socket: socket, openedAt: now, order: order)
  }

  /// Without effect for one that was closed or replaced.
  mutating func mark(_ id: UInt, isBusy: Bool) {
    order += 1
    entries[id]?.requests += isBusy ? 1 : 0
    entries[id]?.isBusy = isBusy
    entries[id]?.order = order
  }

  mutating func close(_ id: UInt) { entries[id] = nil }

  /// Takes out the connection that the new one replaces: never the new one, although it is quiet.
  /// - Returns: its socket.
  mutating func evict(for new: UInt, at now: ContinuousClock.Instant) -> Int32? {
    func rank(_ entry: Entry) -> (Int, Int, UInt64) {
      let isNew = entry.requests == 0 && entry.openedAt + ConnectionRanks.newMax > now
      return entry.isBusy || isNew ? (1, -entry.requests, entry.order) : (0, 0, entry.order)
    }
    let others = entries.filter { $0.key != new }
    guard let found = others.min(by: { rank($0.value) < rank($1.value) }) else { return nil }
    entries[found.key] = nil
    return found.value.socket
  }
}
