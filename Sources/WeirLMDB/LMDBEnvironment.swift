import CLMDB
import Glibc
import WeirCore

/// An LMDB environment and its two databases. Every call blocks: used on the store's own threads.
///
/// Opened with NOSYNC: rows are a follower of the ledger and can be made again, so a commit does not wait for the disk; the
/// file is synced in the background and when the worker stops. Not with WRITEMAP: a full disk would then be a signal.
final class LMDBEnvironment: @unchecked Sendable {
  // Unchecked: LMDB environments may be shared by threads; the map is resized only by the writer's thread between
  // transactions, and readers of this process take the same thread.
  private var environment: OpaquePointer?
  let rows: MDB_dbi
  let meta: MDB_dbi
  let path: String
  private var mapBytes: Int
  /// nil for readers.
  private let uncleanStop: UncleanStop?

  static let keyBytesMax = 511
  private static let mapBytesAtStart = 64 << 20

  init(path: String, readOnly: Bool) throws(WeirError) {
    self.path = path
    if readOnly {
      guard access(path + "/data.mdb", R_OK) == 0 else {
        throw WeirError(
          "config", "there is no state table in \(path)",
          advice: "Give the store's directory with --store, or the pipeline with --pipeline; a replay makes it.")
      }
      guard !UncleanStop.isSuspect(store: path) else {
        throw WeirError(
          "unclean_stop", "the machine stopped while a worker wrote to the state table in \(path): it must be made again",
          advice: "Run the pipeline's worker again, or `weir state rebuild PIPELINE`.", isRetriable: true)
      }
      uncleanStop = nil
    } else {
      try LMDBEnvironment.makeDirectory(path)
      uncleanStop = try UncleanStop(store: path) { () throws(WeirError) in
        for name in ["data.mdb", "lock.mdb"] where unlink(path + "/" + name) != 0 && errno != ENOENT {
          throw LMDBEnvironment.error("remove", path, errno)
        }
      }
    }
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
      throw LMDBEnvironment.error("open", path, code)
    }
    var dead: Int32 = 0
    mdb_reader_check(environment, &dead)
    self.environment = environment
    (rows, meta) = try LMDBEnvironment.databases(environment, path, readOnly)
  }

  private static func databases(_ environment: OpaquePointer?, _ path: String, _ readOnly: Bool) throws(WeirError) -> (MDB_dbi, MDB_dbi) {
    var (code, transaction) = begin(environment, readOnly ? UInt32(MDB_RDONLY) : 0)
    guard code == 0 else { throw error("open", path, code) }
    var rows: MDB_dbi = 0
    var meta: MDB_dbi = 0
    code = mdb_dbi_open(transaction, "rows", readOnly ? 0 : UInt32(MDB_CREATE), &rows)
    if code == 0 { code = mdb_dbi_open(transaction, "meta", readOnly ? 0 : UInt32(MDB_CREATE), &meta) }
    if code == 0 { code = mdb_txn_commit(transaction) } else { mdb_txn_abort(transaction) }
    if readOnly, code == MDB_NOTFOUND {
      throw WeirError(
        "config", "there is no state table in \(path) yet", advice: "A replay makes it: run it, or wait until it has begun.",
        isRetriable: true)
    }
    guard code == 0 else { throw error("open", path, code) }
    return (rows, meta)
  }

  /// Begins a transaction. Where another process has made the map larger than this one knows (a worker, between two looks at
  /// the file), the map is taken over at its size, and it is tried again.
  private static func begin(_ environment: OpaquePointer?, _ flags: UInt32) -> (code: Int32, transaction: OpaquePointer?) {
    while true {
      var transaction: OpaquePointer?
      let code = mdb_txn_begin(environment, nil, flags, &transaction)
      guard code == MDB_MAP_RESIZED else { return (code, transaction) }
      let resized = mdb_env_set_mapsize(environment, 0)
      guard resized == 0 else { return (resized, nil) }
    }
  }

  deinit { close() }

  func close() {
    if let environment { mdb_env_close(environment) }
    environment = nil
  }

  private static func makeDirectory(_ path: String) throws(WeirError) {
    if mkdir(path, 0o777) == 0 || errno == EEXIST { return }
    if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
      try makeDirectory(String(path[..<slash]))
      if mkdir(path, 0o777) == 0 || errno == EEXIST { return }
    }
    throw error("make the directory of", path, errno)
  }

  static func error(_ what: String, _ path: String, _ code: Int32) -> WeirError {
    switch code {
    case _ where code == ENOSPC || code == EDQUOT || (code == EIO && isFull(path)):
      WeirError(
        "full_disk", "no space left for the state table in \(path)", advice: "Free some space and run again.", isRetriable: true,
        fatalTo: .worker)
    case EACCES, EROFS, EPERM:
      WeirError(
        "read_only", "cannot \(what) the state table in \(path): \(String(cString: strerror(code)))",
        advice: "Make the directory writable for this user.", fatalTo: .worker)
    case MDB_INVALID, MDB_VERSION_MISMATCH, MDB_CORRUPTED:
      WeirError(
        "corrupt", "\(path) holds no state table that can be read: \(String(cString: mdb_strerror(code)))",
        advice: "Move it away and run `weir state rebuild PIPELINE`.")
    case ENOTDIR, EEXIST:
      WeirError(
        "storage", "cannot \(what) the state table in \(path): \(String(cString: strerror(code)))",
        advice: "The state table is a directory: look at what lies at this path, or name another with --store.", fatalTo: .worker)
    default:
      WeirError(
        "storage", "cannot \(what) the state table in \(path): \(String(cString: mdb_strerror(code)))",
        advice: "Look at the directory and its file system, then run again; `weir state rebuild PIPELINE` makes the table again.",
        fatalTo: .worker)
    }
  }

  /// LMDB tells a short write as an input/output error, whatever the reason: then the file system is asked for its space.
  private static func isFull(_ path: String) -> Bool {
    var info = statvfs()
    return statvfs(path, &info) == 0 && UInt64(info.f_bavail) * UInt64(info.f_frsize) < 1 << 20
  }

  // MARK: Transactions

  /// Looks that the file at the path is the one that is open: what is written to a file that was removed is lost, and whoever opens
  /// the path finds another table.
  private func checkFile() throws(WeirError) {
    var descriptor: Int32 = -1
    var (open, named) = (stat(), stat())
    let code = mdb_env_get_fd(environment, &descriptor)
    guard code == 0 else { throw LMDBEnvironment.error("write to", path, code) }
    guard fstat(descriptor, &open) == 0 else { throw LMDBEnvironment.error("write to", path, errno) }
    let isThere = stat(path + "/data.mdb", &named) == 0
    guard isThere || errno == ENOENT || errno == ENOTDIR else { throw LMDBEnvironment.error("write to", path, errno) }
    guard !isThere || named.st_dev != open.st_dev || named.st_ino != open.st_ino else { return }
    throw WeirError(
      "state_replaced",
      "the state table in \(path) was \(isThere ? "replaced by another" : "removed") while this worker ran",
      advice: "Start the worker again: it makes the table again from the ledger. End all workers before you remove a state table.",
      fatalTo: .worker)
  }

  /// A write transaction; made again with a larger map when the map is full.
  func write(_ body: (OpaquePointer) -> Int32) throws(WeirError) {
    try checkFile()
    while true {
      var (code, transaction) = LMDBEnvironment.begin(environment, 0)
      guard code == 0, let transaction else { throw LMDBEnvironment.error("write to", path, code) }
      code = body(transaction)
      if code == 0 { code = mdb_txn_commit(transaction) } else { mdb_txn_abort(transaction) }
      switch code {
      case 0: return
      case MDB_MAP_FULL:
        mapBytes *= 2
        code = mdb_env_set_mapsize(environment, mapBytes)
        guard code == 0 else { throw LMDBEnvironment.error("grow", path, code) }
      default: throw LMDBEnvironment.error("write to", path, code)
      }
    }
  }

  /// A short read transaction.
  func read<T>(_ body: (OpaquePointer) throws(WeirError) -> T) throws(WeirError) -> T {
    let (code, transaction) = LMDBEnvironment.begin(environment, UInt32(MDB_RDONLY))
    guard code == 0, let transaction else { throw LMDBEnvironment.error("read", path, code) }
    defer { mdb_txn_abort(transaction) }
    return try body(transaction)
  }

  func sync() throws(WeirError) {
    let code = mdb_env_sync(environment, 1)
    guard code == 0 else { throw LMDBEnvironment.error("sync", path, code) }
  }

  /// The worker has written its last row: syncs, and says so to whoever opens the store next.
  func finish() throws(WeirError) {
    try checkFile()
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
