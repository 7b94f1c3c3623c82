import Synchronization

/// The body of an answer that comes for as long as the service sends: the transport's thread gives bytes, one task takes them.
///
/// What was not taken is bounded: beyond that the transport stops reading from the connection, and the service stops sending.
package final class AWSStream: Sendable {
  /// What there is to take.
  package enum Piece: Sendable, Equatable {
    case bytes([UInt8])
    /// Nothing yet: ``AWSStreamLimits`` say who rings when there is.
    case nothing
    /// The service has ended the answer.
    case end
    /// It broke before its end; one line for people.
    case broken(String)
  }

  /// What becomes of bytes that are given.
  package enum Taken: Sendable, Equatable {
    case kept
    /// They must be given again when there is room.
    case full
    /// No one takes any more.
    case closed
  }

  private struct State {
    var bytes: [UInt8] = []
    /// `.end` or `.broken`.
    var last: Piece?
    /// Bytes were refused, and room was not announced since.
    var isFull = false
    var isClosed = false
  }

  private let state = Mutex(State())
  private let bytesMax: Int
  private let news: @Sendable () -> Void
  private let hasRoom: @Sendable () -> Void
  private let closed: @Sendable () -> Void

  /// - Parameters:
  ///   - hasRoom: called when bytes were refused and would be taken now.
  ///   - closed: called when no one takes any more.
  package init(
    _ limits: AWSStreamLimits, hasRoom: @escaping @Sendable () -> Void = {}, closed: @escaping @Sendable () -> Void = {}
  ) {
    (bytesMax, news, self.hasRoom, self.closed) = (limits.bytesMax, limits.news, hasRoom, closed)
  }

  /// Of an answer that is there as a whole.
  package convenience init(whole body: [UInt8], _ limits: AWSStreamLimits) {
    self.init(limits)
    state.withLock { ($0.bytes, $0.last) = (body, .end) }
  }

  // MARK: The caller

  /// All that has come. Does not wait.
  package func take() -> Piece {
    let (piece, wasFull) = state.withLock { state -> (Piece, Bool) in
      guard state.bytes.isEmpty else {
        defer { (state.bytes, state.isFull) = ([], false) }
        return (.bytes(state.bytes), state.isFull)
      }
      return (state.last ?? .nothing, false)
    }
    if wasFull { hasRoom() }
    return piece
  }

  /// Ends the answer. Further calls have no effect.
  package func close() {
    let isFirst = state.withLock { state in
      defer { (state.isClosed, state.bytes) = (true, []) }
      return !state.isClosed
    }
    if isFirst { closed() }
  }

  // MARK: The transport

  package func give(_ bytes: UnsafeRawBufferPointer) -> Taken {
    let taken = state.withLock { state -> Taken in
      if state.isClosed { return .closed }
      // What is larger than the bound is taken alone.
      if !state.bytes.isEmpty, state.bytes.count + bytes.count > bytesMax {
        state.isFull = true
        return .full
      }
      state.bytes += bytes
      return .kept
    }
    if taken == .kept { news() }
    return taken
  }

  /// - Parameter reason: nil: the answer is complete.
  package func finish(_ reason: String?) {
    state.withLock { $0.last = $0.last ?? reason.map { .broken($0) } ?? .end }
    news()
  }

  /// Whether refused bytes would be taken now.
  package var wouldTake: Bool { state.withLock { !$0.isFull } }
}

/// Bounds of an answer that is read piece by piece.
package struct AWSStreamLimits: Sendable {
  /// From the request to the end of the answer.
  package var milliseconds: Int
  /// The answer has broken when so long no byte came.
  package var idleSeconds: Int
  /// That are held for the caller.
  package var bytesMax: Int
  /// Called, on any thread, when there is something to take.
  package var news: @Sendable () -> Void

  package init(milliseconds: Int, idleSeconds: Int, bytesMax: Int, news: @escaping @Sendable () -> Void) {
    (self.milliseconds, self.idleSeconds, self.bytesMax, self.news) = (milliseconds, idleSeconds, bytesMax, news)
  }
}

/// The beginning of an answer.
package enum AWSOpened: Sendable {
  /// Status 200: the body follows.
  case stream(AWSStream)
  /// Every other status, with its body.
  case answer(AWSResponse)
}

extension AWSTransport {
  /// By a transport that has answers as a whole only.
  package func open(_ request: AWSTransportRequest, _ limits: AWSStreamLimits) async throws(AWSTransportFailure) -> AWSOpened {
    let answer = try await send(request)
    return answer.status == 200 ? .stream(AWSStream(whole: answer.body, limits)) : .answer(answer)
  }
}

extension AWSSender {
  /// By a sender that has answers as a whole only.
  package func open(_ request: AWSRequest, _ limits: AWSStreamLimits) async throws(AWSFailure) -> AWSStream {
    AWSStream(whole: try await send(request).body, limits)
  }
}
