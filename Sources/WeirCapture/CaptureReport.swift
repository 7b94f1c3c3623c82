import Foundation
import Synchronization
import WeirCore
import WeirLocal
import WeirReport

/// What `weir capture` tells: a line on a terminal, JSON lines for programs, a summary at the end.
package final class CaptureReport: Sendable {
  private let console: Console
  private let json: Bool
  /// Records that earlier runs captured.
  private let before: Int64
  private let startedAt = ContinuousClock.now
  private let lastAt = Mutex(ContinuousClock.now)

  package init(console: Console, json: Bool, before: Int64) {
    self.console = console
    self.json = json
    self.before = before
  }

  package func begin(_ writer: LiveCaptureWriter, _ directory: String) {
    if let kept = writer.keptFile {
      console.talk(
        "DAMAGED: the last segment has bytes that differ from those that were written; the \(writer.tornBytes) bytes from there on are kept in \(kept), and their records are read again from the source as far as it still has them (what is missing there is reported as LOST)"
      )
    } else if writer.tornBytes > 0 {
      console.talk("cut off \(writer.tornBytes) bytes of an unfinished write; their records are read again")
    }
    if !writer.knownShards.isEmpty { console.talk("resuming the capture in \(directory) after \(Human.count(before)) records") }
    if json {
      console.data(
        JSONValue.members([
          "event": .string("begun"), "records": .int(before),
          "positions": .object(writer.positions.sorted { $0.key < $1.key }.map { .init($0.key, .int($0.value)) }),
        ]).text)
    }
  }

  /// Told often; tells once a second.
  package func progress(_ records: Int64) {
    let now = ContinuousClock.now
    let isDue = lastAt.withLock { last in
      guard now - last > .seconds(1) else { return false }
      last = now
      return true
    }
    guard isDue else { return }
    if json {
      console.data(JSONValue.members(["event": .string("progress"), "records": .int(records)]).text)
    } else if console.isTerminal {
      console.status("\(Human.count(records)) records, \(Human.rate(Double(records - before) / seconds))")
    }
  }

  private var seconds: Double {
    let elapsed = (ContinuousClock.now - startedAt).components
    return max(1e-3, Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18)
  }

  /// - Parameter gone: shards that the source does not have any more.
  package func end(_ writer: LiveCaptureWriter, gone: [String]) {
    if json {
      console.data(
        JSONValue.members([
          "event": .string("done"), "records": .int(writer.records), "captured": .int(writer.records - before),
          "bytes": .int(writer.bytesWritten), "seconds": .number(Human.fixed(seconds, 3)),
          "positions": .object(writer.positions.sorted { $0.key < $1.key }.map { .init($0.key, .int($0.value)) }),
          "gone": .array(gone.map { .string($0) }),
        ]).text)
      return
    }
    if console.isTerminal { console.status("") }
    console.data(
      "captured \(Human.count(writer.records - before)) records in \(Human.seconds(seconds)), \(Human.bytes(writer.bytesWritten)); the capture holds \(Human.count(writer.records))"
    )
    if !gone.isEmpty { console.data("gone         \(gone.joined(separator: ", ")): no longer at the source") }
  }
}
