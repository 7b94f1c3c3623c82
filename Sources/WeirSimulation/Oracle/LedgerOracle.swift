import WeirCore
import WeirEngine
import WeirProtocol

/// What is true after an entry.
protocol OracleAccount {
  var entry: LedgerEntry { get }
  var mergeEpoch: Int64 { get }
  /// Entries through this one are merged.
  var mergePosition: Int64 { get }
  /// Paths of blobs that the ledger needs.
  var blobs: [String] { get }
  func epoch(of lane: LaneID) -> Int64?
}

/// Judges a run at each durable step: the chain of entries, collection, the tables' logs, topics, and what workers claim.
///
/// It keeps one account per entry (a stack: a crash of the machine may take unsynced entries). What an entry must say is a matter of the
/// subclass: ``LiveOracle``, ``ReplayOracle``, ``RepeatOracle``.
class LedgerOracle<Account: OracleAccount> {
  let layout: LedgerLayout
  let store: SimulatedObjectStore
  /// The first thing that went wrong.
  private(set) var violation: String?
  var accounts: [Account] = []
  var tables: [String: TableLog] = [:]
  var topics: [String: TopicLog] = [:]
  fileprivate var confirmedThrough: Int64 = -1
  /// By node, how the ledger calls the worker.
  fileprivate var workers: [Int: String] = [:]
  /// Attempts whose entry was put at a number that was collected.
  var strays: Set<String> = []
  var marks = Marks()
  /// Called with each entry, to inspect a seed.
  var say: ((String) -> Void)?

  init(pipeline: String, store: SimulatedObjectStore) {
    layout = LedgerLayout(pipeline: pipeline)
    self.store = store
  }

  func fail(_ what: String) { if violation == nil { violation = what } }

  var head: Int64 { Int64(accounts.count) - 1 }

  /// Entry 0.
  func begin(_ entry: LedgerEntry) { preconditionFailure("a subclass keeps accounts") }
  /// An entry that follows the last one.
  func add(_ entry: LedgerEntry, after last: Account) { preconditionFailure("a subclass keeps accounts") }
  /// Windows of a table that no entry through this one has given it.
  func windows(openIn table: String, at number: Int64) -> [WindowKey] { [] }

  /// Readers take a table of windows for whole up to what a version says.
  func checkComplete(_ through: Int?, _ table: String, version: Substring, at number: Int64, before: Int?) {
    if through ?? Int.min < before ?? Int.min { fail("\(table), version \(version): it is complete through less than before") }
    if let through, let missing = windows(openIn: table, at: number).first(where: { $0.end <= through }) {
      fail("\(table), version \(version): it is said to be complete through \(through), and the window \(missing) is not in it")
    }
  }

  /// What the newest marker names: entries above it must be there.
  var newestSnapshot: Int64 {
    guard let marker = store.paths(layout.pointers).last, let bytes = store.peek(marker) else { return -1 }
    // Read apart from the code that is tested: the first number in the text.
    let digits = bytes.drop { !(0x30...0x39).contains($0) }.prefix { (0x30...0x39).contains($0) }
    return Int64(String(decoding: digits, as: UTF8.self)) ?? -1
  }
}

// MARK: - Durable steps

extension LedgerOracle {
  func created(_ path: String, _ bytes: [UInt8]) {
    if path.hasPrefix(layout.entries) {
      createdEntry(path, bytes)
    } else if path.hasSuffix(".json"), let range = path.firstRange(of: "/_delta_log/") {
      createdVersion(of: String(path[..<range.lowerBound]), path, bytes)
    }
  }

  private func createdEntry(_ path: String, _ bytes: [UInt8]) {
    let entry: LedgerEntry
    do { entry = try LedgerEntry(bytes: bytes) } catch { return fail("an entry cannot be read: \(error)") }
    if entry.number <= head {
      // A sleeper put a number that was collected: harmless if a marker names a snapshot at or above it.
      if newestSnapshot < entry.number { fail("the number \(entry.number) was used again") }
      marks.hit(.strayEntry)
      strays.insert(entry.commitID)
      return
    }
    guard entry.number == head + 1 else { return fail("entry \(entry.number) was put after entry \(head)") }
    guard path == layout.entry(entry.number) else { return fail("entry \(entry.number) is at \(path)") }
    guard let last = accounts.last else { return begin(entry) }
    if entry.previousHash != last.entry.hash { fail("entry \(entry.number) is not chained to the one before it") }
    add(entry, after: last)
  }

  /// Collection may take what nothing needs, after a snapshot covers it.
  func deleted(_ path: String) {
    guard let last = accounts.last else { return }
    if path.hasPrefix(layout.entries) {
      marks.hit(.entriesCollected)
      let number = Int64(path.dropFirst(layout.entries.count).prefix(20)) ?? -1
      let marked = store.paths(layout.collected).last.flatMap { Int64($0.dropFirst(layout.collected.count).prefix(20)) } ?? -1
      if number > marked { fail("entry \(number) was deleted before a mark said how far entries are collected") }
      if number > newestSnapshot { fail("entry \(number) was deleted before a marker named a snapshot of it") }
      if number > last.mergePosition { fail("entry \(number) was deleted before it was merged") }
      if number < accounts.count {
        for table in accounts[Int(number)].entry.tables where (tables[table.table]?.applied ?? 0) < number {
          fail("entry \(number) was deleted before \(table.table) had its files")
        }
      }
    }
    if last.blobs.contains(path) { fail("\(path) was swept though the ledger needs it") }
    if path.hasPrefix(layout.blobs) { marks.hit(.blobsSwept) }
  }

  /// A crash may take entries that no worker acted on, from the end only.
  func lost() {
    let tail = newestSnapshot + 1..<max(newestSnapshot + 1, Int64(accounts.count))
    if let first = tail.first(where: { store.peek(layout.entry($0)) == nil }) {
      if let kept = tail.first(where: { $0 > first && store.peek(layout.entry($0)) != nil }) {
        fail("the crash took entry \(first) but not \(kept)")
      }
      accounts.removeSubrange(Int(first)...)
    }
    for name in tables.keys.sorted() { lostVersions(of: name) }
    lostTopics()
    if head < confirmedThrough { fail("entry \(confirmedThrough) was committed and the crash took it") }
  }

  /// The outcome of an attempt says that lanes are another worker's.
  func fenced(_ attempt: String, _ wanted: [LaneID: Int64]) {
    guard let last = accounts.last, !strays.contains(attempt) else { return }
    for (lane, epoch) in wanted.sorted(by: { $0.key < $1.key }) {
      let now = last.epoch(of: lane) ?? 0
      if now < epoch { fail("an attempt was called fenced by \(lane.text), which did not move on") }
    }
  }

  /// A commit ended as committed: no crash may take its entry.
  func committed(_ number: Int64) {
    guard number <= head else { return fail("a commit ended as entry \(number), and the ledger ends at \(head)") }
    confirmedThrough = max(confirmedThrough, number)
  }

  /// A worker said that this entry of its own is in the ledger.
  func confirmed(_ number: Int64, by node: Int) {
    guard number >= 0, number <= head else {
      return fail("a worker said that entry \(number) is in the ledger, which ends at \(head)")
    }
    let worker = accounts[Int(number)].entry.worker
    if workers[node, default: worker] != worker { fail("a worker said that entry \(number) is its own, and it is another's") }
    workers[node] = worker
    confirmedThrough = max(confirmedThrough, number)
  }

  /// At the end each entry that was not collected is as it was put.
  func checkEntries() {
    for number in newestSnapshot + 1..<Int64(accounts.count)
    where store.peek(layout.entry(number)) != accounts[Int(number)].entry.bytes {
      fail("entry \(number) is not in the store as it was put")
    }
  }

  /// The stored bytes of a slice, nil if they are missing or have another hash.
  func slice(_ ref: BlobRef) -> [UInt8]? {
    guard let bytes = store.peek(ref.path), bytes.count >= ref.offset + ref.length else { return nil }
    let slice = Array(bytes[Int(ref.offset)..<Int(ref.offset + ref.length)])
    return ContentHash(of: slice).hex == ref.hash ? slice : nil
  }
}
