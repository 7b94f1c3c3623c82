import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// What a worker has read since its start.
final class LiveCounts: Sendable {
  private let values = Mutex<(records: Int64, bytes: Int64)>((0, 0))

  func add(records: Int64, bytes: Int64) {
    values.withLock {
      $0.records += records
      $0.bytes += bytes
    }
  }

  var records: Int64 { values.withLock { $0.records } }
}
