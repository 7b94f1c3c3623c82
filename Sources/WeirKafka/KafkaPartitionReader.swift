import CKafka
import Synchronization
import WeirCore

/// What reading a partition yields.
package enum KafkaRead: Sendable {
  case block(KafkaBlock)
  /// Everything that the partition held at this moment was handed out; more may come. `next` is where it continues.
  case caughtUp(next: Int64)
  /// The offset is not there: below the first one (trimmed by retention) or above the last (the log was truncated, or
  /// the topic recreated). Reading has stopped; ask for the watermarks, record the gap, and assign again.
  case outOfRange(at: Int64)
  /// The partition was revoked, released or closed.
  case closed
}

/// Sees when a queue that was full has become half empty.
///
/// librdkafka 2.0.2 fetches for a partition when its queue is below its bound; whether it is, it looks at only when
/// something else happens on the broker's connection, or once a second. If all queues of a broker are full, nothing
/// happens: they are emptied in a few milliseconds and then are empty for the rest of the second. With a queue of 16 MiB
/// and one partition that is 16 MiB a second, however fast the reader. So a reader that has emptied half of a full queue
/// asks for a look (by a small request to the broker, see `KafkaConsumer.refill`).
struct QueueBound {
  private let recordsMax: Int
  private let bytesMax: Int
  private var wasFull = false
  /// Of the latest block; librdkafka reports how many records its queue holds, not how large they are.
  var recordBytes = 1

  init(records: Int, bytes: Int) {
    recordsMax = records
    bytesMax = bytes
  }

  /// Before a job empties the queue: it may do so wholly.
  mutating func saw(records: Int) {
    if records >= recordsMax || records * recordBytes >= bytesMax / 4 * 3 { wasFull = true }
  }

  /// After a job. True, once: the queue was full and is half empty.
  mutating func left(records: Int) -> Bool {
    saw(records: records)
    guard wasFull, records <= recordsMax / 2, records * recordBytes <= bytesMax / 2 else { return false }
    wasFull = false
    return true
  }
}

/// One assigned partition: its own queue in librdkafka, read on demand.
///
/// **Back-pressure**: nothing is taken from the queue but what was asked for (and ``KafkaConsumerSettings/blocksAhead``);
/// a queue that is not read fills to its bound, and then librdkafka does not fetch for this partition. Other partitions
/// continue.
///
/// librdkafka calls back when a record arrives in the empty queue; the callback only queues a job. A job takes what lies
/// there, without waiting, until a block is full or the queue is empty: so blocks are large under load, and a single
/// record does not wait for others.
package final class KafkaPartitionReader: @unchecked Sendable {
  // Unchecked: `queue`, `expected`, `carried`, `recordsHint` and `bound` are touched only by the one job that the machine lets
  // run at a time, and after the last one by `release`; the machine's lock orders them. All else is constant or locked.

  private typealias Result = Swift.Result<KafkaRead, KafkaError>

  private struct State {
    var machine: ReaderMachine<Result>
    var waiter: CheckedContinuation<Result, Never>?
    var idleWaiters: [CheckedContinuation<Void, Never>] = []
    var next: Int64
    var repeated = 0
  }

  package let partition: KafkaPartition
  private let threads: BlockingThreads
  private let state: Mutex<State>
  /// Held while the queue is given back, or asked for its length. Never together with `state`: librdkafka takes the
  /// queue's lock in both, and calls back with that lock held into `state`.
  private let life = Mutex(())
  private let blockBytes: Int
  private let redactor: Redactor
  /// Makes librdkafka look at this partition again, soon.
  private let refill: @Sendable (KafkaPartition) -> Void

  private var queue: OpaquePointer?
  /// The offset that the next record should have; a larger one makes a gap.
  private var expected: Int64
  /// A message that was taken from the queue and did not fit into its block.
  private var carried: UnsafeMutablePointer<rd_kafka_message_t>?
  /// Records of the block before: what the next one is made for.
  private var recordsHint = 64
  private var bound: QueueBound

  init(
    partition: KafkaPartition, from: Int64, queue: OpaquePointer, settings: KafkaConsumerSettings, threads: BlockingThreads,
    redactor: Redactor, refill: @escaping @Sendable (KafkaPartition) -> Void
  ) {
    self.partition = partition
    self.queue = queue
    self.threads = threads
    self.redactor = redactor
    self.refill = refill
    expected = from
    bound = QueueBound(records: settings.queueRecordsPerPartition, bytes: settings.queueBytesPerPartition)
    blockBytes = max(1 << 12, settings.blockBytes)
    state = Mutex(State(machine: ReaderMachine(aheadMax: settings.blocksAhead), next: from))
  }

  /// Records are asked for one by one: by one task at a time.
  /// - Throws: a ``KafkaError`` of this partition, after which reading may continue.
  package func next() async throws -> KafkaRead {
    let result: Result = await withCheckedContinuation { continuation in
      let (ready, action): (Result?, ReaderMachine<Result>.Action) = state.withLock { state in
        if state.machine.isClosed { return (.success(.closed), .none) }
        let (ready, action) = state.machine.asked()
        if ready == nil { state.waiter = continuation }
        return (ready, action)
      }
      perform(action)
      if let ready { continuation.resume(returning: ready) }
    }
    return try result.get()
  }

  /// Whether a caller of ``next()`` waits.
  var isAsked: Bool { state.withLock { $0.waiter != nil } }

  /// Records that librdkafka handed out again, and that were left out here. Not seen so far: a guard.
  package var repeatedRecords: Int { state.withLock { $0.repeated } }

  /// Records (and a few events) that are unread in librdkafka; nil after the end.
  package var queuedRecords: Int? {
    life.withLock { _ in queue.map { Int(rd_kafka_queue_length($0)) } }
  }

  // MARK: Wake-up

  /// Lets librdkafka call ``woken()``. The consumer keeps the reader alive until it has called `release`.
  func start() {
    rd_kafka_queue_cb_event_enable(
      queue,
      { _, context in Unmanaged<KafkaPartitionReader>.fromOpaque(context!).takeUnretainedValue().woken() },
      Unmanaged.passUnretained(self).toOpaque())
  }

  /// Called by librdkafka's threads with the queue's lock held: so it must not call librdkafka. The order of locks is
  /// life, queue, state, threads; nothing here calls librdkafka while it holds one of the latter two.
  private func woken() {
    perform(state.withLock { $0.machine.woken() })
  }

  private func perform(_ action: ReaderMachine<Result>.Action) {
    if case .drain = action { threads.submit { self.drain() } }
  }

  // MARK: The job

  private func drain() {
    guard state.withLock({ $0.machine.began() }) else { return finish([], isEmptied: true) }
    bound.saw(records: Int(rd_kafka_queue_length(queue)))
    // Sometimes woken for nothing: look before a buffer is made.
    if carried == nil { carried = rd_kafka_consume_queue(queue, 0) }
    guard carried != nil else { return finish([], isEmptied: true) }
    var reads: [Result] = []
    var builder = KafkaBlockBuilder(partition: partition, bytes: blockBytes, records: recordsHint)
    let isEmptied = fill(&builder, &reads)
    if !builder.isEmpty { reads.insert(.success(.block(close(builder))), at: 0) }
    if bound.left(records: Int(rd_kafka_queue_length(queue))) { refill(partition) }
    finish(reads, isEmptied: isEmptied)
  }

  private func close(_ builder: KafkaBlockBuilder) -> KafkaBlock {
    let block = builder.finish(next: expected)
    recordsHint = max(64, block.count + block.count / 8)
    if block.count > 0 { bound.recordBytes = max(1, block.raw.count / block.count) }
    return block
  }

  /// Moves messages from the queue into the block.
  /// - Returns: true if the queue was seen empty; false if the block is full, or an event ended it.
  private func fill(_ builder: inout KafkaBlockBuilder, _ reads: inout [Result]) -> Bool {
    while true {
      guard let message = carried ?? rd_kafka_consume_queue(queue, 0) else { return true }
      carried = nil
      if message.pointee.err != RD_KAFKA_RESP_ERR_NO_ERROR {
        let read = event(message, &builder)
        rd_kafka_message_destroy(message)
        if let read {
          reads.append(read)
          return false
        }
        continue
      }
      let offset = message.pointee.offset
      if offset < expected {
        state.withLock { $0.repeated += 1 }
        rd_kafka_message_destroy(message)
        continue
      }
      guard builder.add(message) else {
        carried = message
        return false
      }
      if offset > expected { builder.addGap(KafkaGap(from: expected, to: offset)) }
      expected = offset + 1
      rd_kafka_message_destroy(message)
    }
  }

  /// What comes in place of a message.
  private func event(
    _ message: UnsafeMutablePointer<rd_kafka_message_t>, _ builder: inout KafkaBlockBuilder
  ) -> Result? {
    switch message.pointee.err {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
      // What is between the last record and the end cannot be read: markers of transactions, compacted records.
      let end = message.pointee.offset
      if end > expected {
        builder.addGap(KafkaGap(from: expected, to: end))
        expected = end
      }
      return .success(.caughtUp(next: expected))
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      return .success(.outOfRange(at: expected))
    default:
      let detail = rd_kafka_message_errstr(message).map { redactor.clean(String(cString: $0)) }
      return .failure(
        KafkaError(message.pointee.err, "cannot read \(partition) at offset \(expected)", detail: detail, partition: partition))
    }
  }

  private func finish(_ reads: [Result], isEmptied: Bool) {
    let reached = expected
    let (ready, action, waiter, idleWaiters) = state.withLock { state in
      let (ready, action) = state.machine.ended(reads, isEmptied: isEmptied)
      state.next = reached
      var waiter: CheckedContinuation<Result, Never>?
      if ready != nil { swap(&waiter, &state.waiter) }
      var idleWaiters: [CheckedContinuation<Void, Never>] = []
      if !state.machine.isBusy { swap(&idleWaiters, &state.idleWaiters) }
      return (ready, action, waiter, idleWaiters)
    }
    perform(action)
    if let ready { waiter?.resume(returning: ready) }
    for idleWaiter in idleWaiters { idleWaiter.resume() }
  }

  // MARK: The end

  /// Ends reading: a waiting caller gets `closed`. Returns when no job touches the queue any more.
  func stop() async {
    let waiter: CheckedContinuation<Result, Never>? = state.withLock { state in
      guard state.machine.closed() else { return nil }
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume(returning: .success(.closed))
    await withCheckedContinuation { continuation in
      let isIdle = state.withLock { state in
        if state.machine.isBusy { state.idleWaiters.append(continuation) }
        return !state.machine.isBusy
      }
      if isIdle { continuation.resume() }
    }
  }

  /// Gives the queue back to librdkafka. After ``stop()``, once, on a thread that may block.
  func release() {
    life.withLock { _ in
      guard let queue else { return }
      // Takes the queue's lock, under which callbacks run: so after it none runs, and none will.
      rd_kafka_queue_cb_event_enable(queue, nil, nil)
      if let carried { rd_kafka_message_destroy(carried) }
      carried = nil
      rd_kafka_queue_destroy(queue)
      self.queue = nil
    }
  }
}
