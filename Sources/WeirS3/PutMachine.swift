import WeirCore

/// Decides what follows in a conditional put, until its outcome is known (laws 1 and 2). Pure.
///
/// Each object carries the random name of the call that made it. So a read finds out what a lost reply would have said:
///
///     put, the reply is lost        the object may be there, or come later
///     read: ours                    created
///     read: another's               exists
///     read: nothing                 put the same bytes once more: of two requests of ours, at most one finds the key free
///
/// An object that is answered by "exists" is read, too: a client below may have sent the request twice. Bytes alone decide nothing: two
/// workers may put equal ones, and one of them must learn that it was second.
struct PutMachine: Sendable, Equatable {
  enum Event: Sendable, Equatable {
    case created
    /// 412: there is an object of this key.
    case exists
    /// 409: another request for this key is under way. This one had no effect.
    case conflict(String)
    /// The upload that this request would complete is not there: it was completed before, or aborted.
    case uploadGone(String)
    /// The request had no effect, and the client has given up.
    case failed(String)
    /// The request may have had its effect, now or later.
    case unknown(String)
    case found(Found)
    case rested
  }

  /// What is there.
  enum Found: Sendable, Equatable {
    case ours, another, nothing
    case unclear(String)
  }

  enum Action: Sendable, Equatable {
    case send
    case readBack
    case rest(tries: Int)
    case finish(PutOutcome)
  }

  /// Requests that make the object, and reads in a row that fail. The client repeats each of them itself, for up to two minutes.
  static let triesMax = 6
  static let readsMax = 3

  private enum Question: Sendable, Equatable { case exists, unknown, gone }

  private var sends = 0
  private var reads = 0
  private var question = Question.unknown
  private var next = Action.send
  private var trouble = ""

  var begin: Action { .send }

  mutating func event(_ event: Event) -> Action {
    switch event {
    case .created: return .finish(.created)
    case .exists: return ask(.exists, trouble)
    case .uploadGone(let why): return ask(.gone, why)
    case .unknown(let why): return ask(.unknown, why)
    case .failed(let why): return .finish(.unknown(why))
    case .conflict(let why):
      trouble = why
      return again()
    case .rested: return next
    case .found(.ours): return .finish(.created)
    case .found(.another): return .finish(.exists)
    case .found(.nothing): return nothing()
    case .found(.unclear(let why)):
      reads += 1
      // What the request said matters more than why the read failed.
      if trouble.isEmpty { trouble = why }
      guard reads < PutMachine.readsMax else { return .finish(.unknown(trouble)) }
      next = .readBack
      return .rest(tries: reads)
    }
  }

  private mutating func ask(_ question: Question, _ why: String) -> Action {
    self.question = question
    trouble = why
    return .readBack
  }

  private mutating func nothing() -> Action {
    switch question {
    // It was there, and a collection took it since.
    case .exists: return .finish(.exists)
    case .gone: return .finish(.unknown(trouble))
    case .unknown: return again()
    }
  }

  private mutating func again() -> Action {
    sends += 1
    guard sends < PutMachine.triesMax else { return .finish(.unknown(trouble)) }
    next = .send
    return .rest(tries: sends)
  }
}
