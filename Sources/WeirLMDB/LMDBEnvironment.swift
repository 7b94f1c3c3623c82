import CLMDB
import Glibc
import WeirCore

/// An LMDB environment and its two databases. Every call blocks: used on the store's own threads.
///
/// Opened with NOSYNC: rows are a follower of the ledger and can be rebuilt, so a commit does not wait for the disk; the
/// file is synced in the background and when the worker stops. Not with WRITEMAP: a full disk would then be a signal.
///
/// LMDB writes, and keeps the pages of a moment in place while they are read. Reading itself goes through ``PageFile``.
final class LMDBEnvironment: @unchecked Sendable {
  // Unchecked: LMDB environments may be shared by threads; the map is resized and the file reopened only by the table's thread
  // between transactions, and readers of this process take the same thread.
  /// nil: a reader that may not write to the lock file, so that no moment's pages are kept in place for it.
  private var environment: OpaquePointer?
  /// Of writers.
  private(set) var rows: MDB_dbi = 0
  private(set) var meta: MDB_dbi = 0
  let path: String
  private let isReader: Bool
  private var file: PageFile
  private var mapBytes = 0
  /// The file was this large: it never becomes smaller.
  private var fileBytes = 0
  /// nil for readers.
  private var uncleanStop: UncleanStop?
  /// The file of ``transacting(_:)``; -1 for readers.
  private var turn: Int32 = -1
  private let turnSecondsMax: Int
  /// The moment that the reads within ``pinned(_:)`` see.
  private var pinnedView: StateView?

  private static let mapBytesAtStart = 64 << 20
  /// Attempts to see one moment of a file that others write to.
  private static let attemptsMax = 100
  /// In the store's directory.
  static let turnFile = "writing"

  /// - Parameter turnSecondsMax: how long a writer waits for another process's transaction.
  init(path: String, readOnly: Bool, turnSecondsMax: Int = FileLock.secondsMax) throws(WeirError) {
    self.path = path
    self.turnSecondsMax = turnSecondsMax
    isReader = readOnly
    if readOnly {
      file = try StateReplacement.opening(path, readOnly: true) { () throws(WeirError) in try LMDBEnvironment.fileToRead(path) }
      environment = try LMDBEnvironment.openToRead(path, &mapBytes)
      _ = try read { _ in }
    } else {
      try LMDBEnvironment.makeDirectory(path)
      (file, environment, uncleanStop) = try LMDBEnvironment.openToWrite(path, &mapBytes)
      try openDatabases()
    }
  }

  /// Opens the store's file again if the path names another one by now.
  func reopen() throws(WeirError) {
    guard file.isReplaced else { return }
    close()
    // Its shared lock would keep the new one from being the only one.
    uncleanStop = nil
    fileBytes = 0
    if isReader {
      file = try StateReplacement.opening(path, readOnly: true) { () throws(WeirError) in try LMDBEnvironment.fileToRead(path) }
      environment = try LMDBEnvironment.openToRead(path, &mapBytes)
    } else {
      try LMDBEnvironment.makeDirectory(path)
      (file, environment, uncleanStop) = try LMDBEnvironment.openToWrite(path, &mapBytes)
      try openDatabases()
    }
  }

  private static func fileToRead(_ path: String) throws(WeirError) -> PageFile {
    guard let file = try PageFile(store: path) else {
      // Empty it is only while the first worker makes it.
      if access(path + "/data.mdb", F_OK) == 0, !UncleanStop.isOpen(store: path) {
        throw PageFile.damaged(path, "its file data.mdb is empty (0 bytes)")
      }
      throw WeirError(
        .stateMissing, "there is no state table in \(path)",
        advice: "\(.nameStateTable); a replay creates it.")
    }
    guard !UncleanStop.isSuspect(store: path) else {
      throw WeirError(
        .uncleanStop, "the machine stopped while a worker wrote to the state table in \(path): it must be rebuilt",
        advice: "Run the pipeline's worker again, or \(.rebuildState).")
    }
    return file
  }

  /// - Returns: nil if this user may not write to the lock file: reads then look afterwards whether a writer was too fast.
  private static func openToRead(_ path: String, _ mapBytes: inout Int) throws(WeirError) -> OpaquePointer? {
    // A reader makes no lock file: without one there is no writer.
    guard access(path + "/lock.mdb", W_OK) == 0 else { return nil }
    do throws(WeirError) {
      return try open(path, &mapBytes, readOnly: true)
    } catch  where error.code == .readOnly {
      return nil
    }
  }

  private static func openToWrite(
    _ path: String, _ mapBytes: inout Int
  ) throws(WeirError) -> (PageFile, OpaquePointer?, UncleanStop) {
    var bytes = mapBytes
    defer { mapBytes = bytes }
    return try StateReplacement.opening(path, readOnly: false) { () throws(WeirError) in
      let uncleanStop = try UncleanStop(store: path) { () throws(WeirError) in
        for name in ["data.mdb", "lock.mdb"] where unlink(path + "/" + name) != 0 && errno != ENOENT {
          throw LMDBEnvironment.error("remove", path, errno)
        }
      } check: { () throws(WeirError) in
        if let file = try PageFile(store: path) { try FileCheck.run(file, try Snapshot.both(file)[0]) }
      }
      // Beside other workers the file was checked by the first of them; what LMDB needs to open it is looked at again.
      if let file = try PageFile(store: path) { _ = try LMDBEnvironment.newest(file) }
      let environment = try open(path, &bytes, readOnly: false)
      guard let file = try PageFile(store: path) else { throw error("open", path, ENOENT) }
      return (file, environment, uncleanStop)
    }
  }

  private static func open(_ path: String, _ mapBytes: inout Int, readOnly: Bool) throws(WeirError) -> OpaquePointer? {
    var environment: OpaquePointer?
    var code = mdb_env_create(&environment)
    mdb_env_set_maxdbs(environment, 4)
    var info = stat()
    let size = stat(path + "/data.mdb", &info) == 0 ? Int(info.st_size) : 0
    mapBytes = max(LMDBEnvironment.mapBytesAtStart, (size + (4 << 20)) / (1 << 20) * (1 << 20))
    mdb_env_set_mapsize(environment, mapBytes)
    let flags = UInt32(MDB_NOTLS | MDB_NOSYNC) | (readOnly ? UInt32(MDB_RDONLY) : 0)
    if code == 0 { code = mdb_env_open(environment, path, flags, 0o666) }
    guard code == 0 else {
      mdb_env_close(environment)
      throw error("open", path, code)
    }
    var dead: Int32 = 0
    mdb_reader_check(environment, &dead)
    return environment
  }

  private func openDatabases() throws(WeirError) {
    turn = Glibc.open(path + "/" + LMDBEnvironment.turnFile, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard turn >= 0 else { throw LMDBEnvironment.error("write to", path, errno) }
    try transacting { () throws(WeirError) in try createDatabases() }
  }

  private func createDatabases() throws(WeirError) {
    let (begun, transaction) = LMDBEnvironment.begin(environment, 0)
    guard begun == 0 else { throw LMDBEnvironment.error("open", path, begun) }
    var code = mdb_dbi_open(transaction, "rows", UInt32(MDB_CREATE), &rows)
    if code == 0 { code = mdb_dbi_open(transaction, "meta", UInt32(MDB_CREATE), &meta) }
    if code == 0 { code = mdb_txn_commit(transaction) } else { mdb_txn_abort(transaction) }
    guard code == 0 else { throw LMDBEnvironment.error("open", path, code) }
    fileBytes = try file.bytesInFile()
  }

  /// Begins a transaction. Where another process has made the map larger than this one knows (a worker, between two looks at
  /// the file), the map is taken over at its size, and it is tried again.
  private static func begin(_ environment: OpaquePointer?, _ flags: UInt32) -> (code: Int32, transaction: OpaquePointer?) {
    for _ in 0..<attemptsMax {
      var transaction: OpaquePointer?
      let code = mdb_txn_begin(environment, nil, flags, &transaction)
      guard code == MDB_MAP_RESIZED else { return (code, transaction) }
      let resized = mdb_env_set_mapsize(environment, 0)
      guard resized == 0 else { return (resized, nil) }
    }
    return (MDB_MAP_RESIZED, nil)
  }

  deinit { close() }

  func close() {
    if let environment { mdb_env_close(environment) }
    environment = nil
    if turn >= 0 { Glibc.close(turn) }
    turn = -1
  }

  private static func makeDirectory(_ path: String) throws(WeirError) {
    if mkdir(path, 0o777) == 0 || errno == EEXIST { return }
    if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
      try makeDirectory(String(path[..<slash]))
      if mkdir(path, 0o777) == 0 || errno == EEXIST { return }
    }
    throw error("create the directory of", path, errno)
  }

  static func error(_ what: String, _ path: String, _ code: Int32) -> WeirError {
    switch code {
    case _ where code == ENOSPC || code == EDQUOT || (code == EIO && isFull(path)):
      WeirError(
        .fullDisk, "no space left for the state table in \(path)", advice: "Free some space and run again.")
    case EACCES where what == "read":
      WeirError(
        .storageRefused, "cannot read the state table in \(path): \(String(cString: strerror(code)))",
        advice: "Give this user permission to read the directory and its files.")
    case EACCES, EROFS, EPERM:
      WeirError(
        .readOnly, "cannot \(what) the state table in \(path): \(String(cString: strerror(code)))",
        advice: "Make the directory writable for this user.")
    case MDB_INVALID, MDB_VERSION_MISMATCH, MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_PANIC, MDB_INCOMPATIBLE:
      PageFile.damaged(path, String(cString: mdb_strerror(code)))
    case ENOTDIR, EEXIST:
      WeirError(
        .storageRefused, "cannot \(what) the state table in \(path): \(String(cString: strerror(code)))",
        advice: "The state table is a directory: check this path, or choose \(.otherStore).")
    case EMFILE, ENFILE, ENOMEM:
      WeirError(
        .storageRefused, "cannot \(what) the state table in \(path): \(String(cString: mdb_strerror(code)))",
        advice:
          "The table is not damaged: raise the limit of the process. `ulimit -n` is the number of open files, `ulimit -v` the address space (LMDB maps the table's file and room for it to grow)."
      )
    default:
      WeirError(
        .storageRefused, "cannot \(what) the state table in \(path): \(String(cString: mdb_strerror(code)))",
        advice: "Check the directory and its file system, then run again; \(.rebuildState) recreates the table.")
    }
  }

  /// LMDB reports a short write as an input/output error, whatever the reason: then the file system is asked for its space.
  private static func isFull(_ path: String) -> Bool {
    var info = statvfs()
    return statvfs(path, &info) == 0 && UInt64(info.f_bavail) * UInt64(info.f_frsize) < 1 << 20
  }

  // MARK: Transactions

  /// Looks that the file at the path is the one that is open, since what is written to a file that was removed is lost, and that
  /// it was not shortened, since LMDB would end the process.
  private func checkFile() throws(WeirError) {
    guard environment != nil else {
      throw WeirError(
        .storageRefused, "the state table in \(path) is closed: opening it again failed", advice: "Start the worker again.")
    }
    guard !file.isReplaced else {
      let isThere = access(path + "/data.mdb", F_OK) == 0
      throw WeirError(
        isThere ? .stateReplaced : .stateRemoved,
        "the state table in \(path) was \(isThere ? "replaced by another" : "removed") while this worker ran",
        advice: "Start the worker again: it recreates the table from the ledger. Stop all workers before you remove a state table.")
    }
    let bytes = try file.bytesInFile()
    guard bytes >= fileBytes else { throw file.damaged("the file had \(fileBytes) bytes, and now has \(bytes)") }
    fileBytes = bytes
  }

  /// LMDB waits for another process's write transaction without an end and without a word, also where that process is paused. So a
  /// writer first takes a lock that is waited for up to a bound, and whose error names the process.
  private func transacting<T>(_ body: () throws(WeirError) -> T) throws(WeirError) -> T {
    try FileLock.held(turn, LOCK_EX, of: path + "/" + LMDBEnvironment.turnFile, within: turnSecondsMax, body)
  }

  /// A write transaction; repeated with a larger map when the map is full.
  func write(_ body: (OpaquePointer) -> Int32) throws(WeirError) {
    try checkFile()
    try transacting { () throws(WeirError) in try transact(body) }
  }

  private func transact(_ body: (OpaquePointer) -> Int32) throws(WeirError) {
    while true {
      var (code, transaction) = LMDBEnvironment.begin(environment, 0)
      guard code == 0, let transaction else { throw LMDBEnvironment.error("write to", path, code) }
      code = body(transaction)
      if code == 0 { code = mdb_txn_commit(transaction) } else { mdb_txn_abort(transaction) }
      switch code {
      // Replaced in the meantime: no reader will see what was written.
      case 0: return try checkFile()
      case MDB_MAP_FULL:
        mapBytes *= 2
        code = mdb_env_set_mapsize(environment, mapBytes)
        guard code == 0 else { throw LMDBEnvironment.error("grow", path, code) }
      default: throw LMDBEnvironment.error("write to", path, code)
      }
    }
  }

  /// Calls `body` with one moment of the store; again with a later one if the moment's pages were overwritten on the way.
  func read<T>(_ body: (StateView) throws(WeirError) -> T) throws(WeirError) -> T {
    if let pinnedView { return try body(pinnedView) }
    if environment == nil { return try readWithoutLock(body) }
    return try pinned { (view) throws(WeirError) in try body(view) }
  }

  /// All reads within `body` see the same moment, where this user may write to the lock file.
  func pinned<T>(_ body: (StateView) throws(WeirError) -> T) throws(WeirError) -> T {
    var failure: WeirError?
    for _ in 0..<LMDBEnvironment.attemptsMax {
      let (code, transaction) = LMDBEnvironment.begin(environment, UInt32(MDB_RDONLY))
      guard code == 0, let transaction else { throw LMDBEnvironment.error("read", path, code) }
      defer { mdb_txn_abort(transaction) }
      let view: StateView
      do throws(WeirError) {
        // Two commits since the transaction began may have overwritten the page that says where its trees are.
        guard let snapshot = try Snapshot.both(file).first(where: { $0.transaction == UInt64(mdb_txn_id(transaction)) }) else {
          failure = nil
          continue
        }
        view = try StateView(file, snapshot)
      } catch  where error.code == .corrupt {
        failure = error
        continue
      }
      pinnedView = view
      defer { pinnedView = nil }
      return try body(view)
    }
    throw failure ?? unsteady
  }

  /// Keeps `body`'s reads on one moment if that can be had.
  func pinnedIfPossible<T>(_ body: () throws(WeirError) -> T) throws(WeirError) -> T {
    if environment == nil || pinnedView != nil { return try body() }
    return try pinned { (_) throws(WeirError) in try body() }
  }

  /// Without a place in the lock file a writer does not know of this reader. A page of transaction T may be overwritten from
  /// T + 3 on, which begins when T + 2 is committed: what was read before that is sound.
  private func readWithoutLock<T>(_ body: (StateView) throws(WeirError) -> T) throws(WeirError) -> T {
    for _ in 0..<LMDBEnvironment.attemptsMax {
      let snapshot = try LMDBEnvironment.newest(file)
      let result = Result { () throws(WeirError) in try body(try StateView(file, snapshot)) }
      if try LMDBEnvironment.newest(file).transaction <= snapshot.transaction + 1 { return try result.get() }
    }
    throw unsteady
  }

  private var unsteady: WeirError {
    WeirError(
      .storage, "the state table in \(path) changed faster than it could be read",
      advice: "Give this user permission to write to lock.mdb there, so that writers keep the pages that it reads.")
  }

  /// The newest state. A writer may be in the middle of its page.
  private static func newest(_ file: PageFile) throws(WeirError) -> Snapshot {
    var attempts = 0
    while true {
      do throws(WeirError) { return try Snapshot.both(file)[0] } catch {
        attempts += 1
        if error.code != .corrupt || attempts == attemptsMax { throw error }
      }
    }
  }

  /// Checks all pages and rows of one moment.
  func check() throws(WeirError) {
    try read { (view) throws(WeirError) in try FileCheck.run(view.file, view.snapshot) }
  }

  func sync() throws(WeirError) {
    try checkFile()
    let code = mdb_env_sync(environment, 1)
    guard code == 0 else { throw LMDBEnvironment.error("sync", path, code) }
  }

  /// The worker has written its last row: syncs, and records that for the next process that opens the store.
  func finish() throws(WeirError) {
    try sync()
    uncleanStop?.closedClean()
  }

  /// Calls `body` with bytes as LMDB wants them.
  static func value<T>(_ bytes: [UInt8], _ body: (inout MDB_val) -> T) -> T {
    bytes.withUnsafeBytes { raw in
      var value = MDB_val(mv_size: raw.count, mv_data: UnsafeMutableRawPointer(mutating: raw.baseAddress))
      return body(&value)
    }
  }

  static func bytes(_ value: MDB_val) -> [UInt8] { Array(raw(value)) }

  static func raw(_ value: MDB_val) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
  }
}
