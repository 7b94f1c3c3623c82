/// When a partition's queue is drained, and who gets what came out: the rules alone, without queue, lock or thread.
///
/// At most one job at a time drains the queue (`isDraining`), so records keep their order. The queue may hold something
/// exactly when `mayHold` is true: at the beginning, after librdkafka's callback, and after a job that stopped because
/// its block was full.
///
/// **No wake-up is lost.** librdkafka calls back when its queue goes from empty to one. Let a job find the queue empty
/// and a record arrive just then:
/// 1. `began` has set `mayHold = false` before the job's first look at the queue;
/// 2. the job finds the queue empty;
/// 3. the record arrives, the callback runs `woken`: `mayHold = true`; a job is under way, so none is started;
/// 4. `ended` sees `mayHold` and starts the next job.
/// If 3 comes after 4, `woken` itself starts the job. If the callback came before 2, the job took the record already
/// and the next one finds nothing, which does no harm.
struct ReaderMachine<Read> {
  enum Action {
    case none
    /// Submit a job: it calls `began` first and `ended` last.
    case drain
  }

  private let aheadMax: Int
  private var mayHold = true
  private var isDraining = false
  private(set) var isClosed = false
  private(set) var isAsked = false
  private var ready: [Read] = []

  /// - Parameter aheadMax: reads that may be ready before they are requested.
  init(aheadMax: Int) { self.aheadMax = max(0, aheadMax) }

  /// True while a job may touch the queue.
  var isBusy: Bool { isDraining }

  private mutating func next() -> Action {
    guard mayHold, !isDraining, !isClosed else { return .none }
    guard isAsked ? ready.isEmpty : ready.count < aheadMax else { return .none }
    isDraining = true
    return .drain
  }

  /// The engine wants the next read: either it is here, or it will be delivered once by `ended`.
  mutating func asked() -> (Read?, Action) {
    precondition(!isAsked, "a partition has one reader at a time")
    if !ready.isEmpty {
      let read = ready.removeFirst()
      return (read, next())
    }
    isAsked = !isClosed
    return (nil, next())
  }

  /// librdkafka says that the queue is not empty any more.
  mutating func woken() -> Action {
    mayHold = true
    return next()
  }

  /// A job is about to look at the queue. False: do not, the partition is closed.
  mutating func began() -> Bool {
    precondition(isDraining, "a job that was not started")
    mayHold = false
    return !isClosed
  }

  /// A job is done. `isEmptied`: it saw the queue empty.
  /// - Returns: what to give to the waiting caller, and what to do next.
  mutating func ended(_ reads: [Read], isEmptied: Bool) -> (Read?, Action) {
    precondition(isDraining, "a job that was not started")
    isDraining = false
    if !isEmptied { mayHold = true }
    if isClosed { return (nil, .none) }
    ready += reads
    guard isAsked, !ready.isEmpty else { return (nil, next()) }
    isAsked = false
    let read = ready.removeFirst()
    return (read, next())
  }

  /// Nothing more will be handed out, and what was ready is dropped. True: a caller waits and needs an answer.
  mutating func closed() -> Bool {
    let waits = isAsked
    isClosed = true
    isAsked = false
    ready = []
    return waits
  }
}
