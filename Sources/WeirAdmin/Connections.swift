import NIOCore
import Synchronization

/// The open connections of the admin server, a bounded number. A new connection does not wait for a free one: it closes the one that has
/// been quiet for the longest time, or, where all are answering or were opened just now, the one that got the most answers. So connections that are held open, that
/// send a request byte by byte, or that send very many requests without reading the answers, cannot keep probes out, however many they are.
final class Connections: Sendable {
  static let max = 64
  /// From opening a connection, or from an answer, until a request's headers are complete.
  static let quietMax = TimeAmount.seconds(10)
  /// After it was opened: a probe's request may come a moment after its connection, while others open theirs.
  static let newMax = TimeAmount.seconds(2)
  /// From a request's headers until its answer is written.
  static let answerMax = TimeAmount.seconds(60)

  private struct Entry {
    var channel: any Channel
    /// Answering a request: closed only where all are.
    var isBusy: Bool
    /// Requests that it sent.
    var requests = 0
    var openedAt: NIODeadline
    /// Of its last change, counted over all connections.
    var order: UInt64
  }

  private struct State {
    var entries: [ObjectIdentifier: Entry] = [:]
    var order: UInt64 = 0
  }

  private let state = Mutex(State())

  func opened(_ channel: any Channel) {
    change(channel, isBusy: false)
    let oldest: (any Channel)? = state.withLock { state in
      guard state.entries.count > Connections.max else { return nil }
      let newSince = NIODeadline.now() - Connections.newMax
      func rank(_ entry: Entry) -> (Int, Int, UInt64) {
        let isNew = entry.requests == 0 && entry.openedAt > newSince
        return entry.isBusy || isNew ? (1, -entry.requests, entry.order) : (0, 0, entry.order)
      }
      // Not the new one, although it is quiet.
      let others = state.entries.filter { $0.key != ObjectIdentifier(channel) }
      guard let found = others.min(by: { rank($0.value) < rank($1.value) }) else { return nil }
      state.entries[found.key] = nil
      return found.value.channel
    }
    oldest?.close(promise: nil)
  }

  func answering(_ channel: any Channel) { change(channel, isBusy: true) }

  func quiet(_ channel: any Channel) { change(channel, isBusy: false) }

  func closed(_ channel: any Channel) { state.withLock { $0.entries[ObjectIdentifier(channel)] = nil } }

  private func change(_ channel: any Channel, isBusy: Bool) {
    let id = ObjectIdentifier(channel)
    let order: UInt64? = state.withLock { state in
      guard channel.isActive else { return nil }
      state.order += 1
      var entry = state.entries[id] ?? Entry(channel: channel, isBusy: isBusy, openedAt: .now(), order: state.order)
      entry.requests += isBusy ? 1 : 0
      (entry.isBusy, entry.order) = (isBusy, state.order)
      state.entries[id] = entry
      return state.order
    }
    guard let order else { return }
    channel.eventLoop.scheduleTask(in: isBusy ? Connections.answerMax : Connections.quietMax) { [self] in
      // By its number: a channel that is closed is not kept until then.
      let stale = state.withLock { $0.entries[id].flatMap { $0.order == order ? $0.channel : nil } }
      stale?.close(promise: nil)
    }
  }
}

/// Reports when a connection opens and closes.
final class ConnectionWatch: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = NIOAny

  private let connections: Connections

  init(_ connections: Connections) { self.connections = connections }

  func handlerAdded(context: ChannelHandlerContext) {
    do { try RequestFacts.add(to: context.pipeline.syncOperations) } catch {
      // A request whose Host is not known must not be answered.
      return context.close(promise: nil)
    }
    if context.channel.isActive { connections.opened(context.channel) }
  }

  func channelActive(context: ChannelHandlerContext) {
    connections.opened(context.channel)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    connections.closed(context.channel)
    context.fireChannelInactive()
  }
}
