import Glibc
import WeirCore

/// An LMDB file read with `pread`, a page at a time, each page checked before it is used.
///
/// LMDB itself trusts its file: it follows damaged offsets into whatever is there, and a shortened file ends the process by a
/// signal. Everything that only reads goes through here instead. Format: data version 1 of LMDB 0.9, 64 bits, little-endian.
final class PageFile {
  /// The store's directory.
  let path: String
  let pageBytes: Int
  private let descriptor: Int32

  /// - Returns: nil if there is no file, or an empty one.
  init?(store: String) throws(WeirError) {
    path = store
    do throws(LocalFile.Refusal) { descriptor = try LocalFile.open(store + "/data.mdb") } catch {
      switch error {
      case .system(ENOENT): return nil
      case .system(let number): throw LMDBEnvironment.error("read", store, number)
      case .kind: throw PageFile.damaged(store, "data.mdb cannot be opened: \(error.text)")
      }
    }
    do throws(WeirError) {
      var info = stat()
      guard fstat(descriptor, &info) == 0 else { throw LMDBEnvironment.error("read", store, errno) }
      if info.st_size == 0 {
        Glibc.close(descriptor)
        return nil
      }
      let head = try PageFile.bytes(descriptor, store, at: 0, count: Snapshot.metaBytes)
      pageBytes = Int(head.number(at: 40, as: UInt32.self))
      guard head.number(at: 16, as: UInt32.self) == Snapshot.magic, (512...65536).contains(pageBytes), pageBytes.nonzeroBitCount == 1
      else { throw PageFile.damaged(store, "page 0 is not the first page of a state table") }
    } catch {
      Glibc.close(descriptor)
      throw error
    }
  }

  deinit { Glibc.close(descriptor) }

  static func damaged(_ path: String, _ what: String) -> WeirError {
    WeirError(
      .corrupt, "the state table in \(path) is damaged: \(what)",
      advice: "Nothing is lost: \(.rebuildState) writes a new table from the ledger.")
  }

  func damaged(_ what: String) -> WeirError { PageFile.damaged(path, what) }

  /// Whether the store's path names another file by now, or none.
  var isReplaced: Bool {
    var (open, named) = (stat(), stat())
    guard fstat(descriptor, &open) == 0, stat(path + "/data.mdb", &named) == 0 else { return true }
    return open.st_dev != named.st_dev || open.st_ino != named.st_ino
  }

  func bytesInFile() throws(WeirError) -> Int {
    var info = stat()
    guard fstat(descriptor, &info) == 0 else { throw LMDBEnvironment.error("read", path, errno) }
    return Int(info.st_size)
  }

  /// Pages that are in the file as a whole.
  func pagesInFile() throws(WeirError) -> UInt64 { UInt64(try bytesInFile()) / UInt64(pageBytes) }

  /// Bytes of a page, or from it on. The number must be the one in the page.
  func page(_ number: UInt64, count: Int? = nil) throws(WeirError) -> [UInt8] {
    let bytes = try raw(number, count: count ?? pageBytes)
    guard bytes.number(at: 0, as: UInt64.self) == number else { throw damaged("page \(number) is not what was written there") }
    return bytes
  }

  func raw(_ number: UInt64, count: Int) throws(WeirError) -> [UInt8] {
    let (at, overflows) = number.multipliedReportingOverflow(by: UInt64(pageBytes))
    guard !overflows, at < UInt64(Int64.max) else { throw damaged("there is no page \(number)") }
    return try PageFile.bytes(descriptor, path, at: Int(at), count: count)
  }

  private static func bytes(_ descriptor: Int32, _ path: String, at: Int, count: Int) throws(WeirError) -> [UInt8] {
    var failure: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
      done = 0
      while done < count {
        let n = pread(descriptor, buffer.baseAddress! + done, count - done, at + done)
        if n < 0, errno == EINTR { continue }
        if n < 0 { failure = errno }
        if n <= 0 { return }
        done += n
      }
    }
    guard failure == 0 else { throw LMDBEnvironment.error("read", path, failure) }
    guard bytes.count == count else { throw damaged(path, "the file ends at byte \(at + bytes.count), in the middle of its contents") }
    return bytes
  }
}

extension [UInt8] {
  @inline(__always)
  func number<T: FixedWidthInteger>(at: Int, as: T.Type) -> T {
    precondition(at >= 0 && at + MemoryLayout<T>.size <= count, "beyond the page")
    return withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: T.self)) }
  }
}

/// A B+tree as its record describes it (`MDB_db`).
struct Tree: Equatable {
  static let recordBytes = 48

  let depth: Int
  let branchPages: UInt64
  let leafPages: UInt64
  let overflowPages: UInt64
  let entries: UInt64
  /// nil: the tree is empty.
  let root: UInt64?
  /// Keys are 64-bit numbers, else bytes.
  let hasNumbers: Bool

  init(_ bytes: [UInt8], at: Int, hasNumbers: Bool = false) {
    depth = Int(bytes.number(at: at + 6, as: UInt16.self))
    branchPages = bytes.number(at: at + 8, as: UInt64.self)
    leafPages = bytes.number(at: at + 16, as: UInt64.self)
    overflowPages = bytes.number(at: at + 24, as: UInt64.self)
    entries = bytes.number(at: at + 32, as: UInt64.self)
    let root = bytes.number(at: at + 40, as: UInt64.self)
    self.root = root == UInt64.max ? nil : root
    self.hasNumbers = hasNumbers
  }
}

/// One state of the file: what one transaction committed.
struct Snapshot {
  static let metaBytes = 152
  static let magic: UInt32 = 0xBEEF_C0DE

  let transaction: UInt64
  let lastPage: UInt64
  let free: Tree
  let main: Tree

  /// The two newest states, the newest first. Their numbers follow each other, and page 0 has the even ones: a damaged number
  /// cannot make an old state the newest.
  static func both(_ file: PageFile) throws(WeirError) -> [Snapshot] {
    var all: [Snapshot] = []
    for number in [UInt64(0), 1] { all.append(try Snapshot(file, page: number)) }
    let (even, odd) = (all[0].transaction, all[1].transaction)
    guard even == 0 && odd == 0 || (even % 2 == 0 && odd % 2 == 1 && max(even, odd) - min(even, odd) == 1) else {
      throw file.damaged("its two last transactions are \(even) and \(odd)")
    }
    return even > odd ? all : all.reversed()
  }

  private init(_ file: PageFile, page: UInt64) throws(WeirError) {
    let bytes = try file.raw(page, count: Snapshot.metaBytes)
    // Number and flags of the page; the mark of LMDB, version 1; the size of a page.
    let isMeta =
      bytes.number(at: 0, as: UInt64.self) == page && bytes.number(at: 10, as: UInt16.self) == 0x08
      && bytes.number(at: 16, as: UInt32.self) == Snapshot.magic && bytes.number(at: 20, as: UInt32.self) == 1
      && Int(bytes.number(at: 40, as: UInt32.self)) == file.pageBytes
    guard isMeta else { throw file.damaged("page \(page) is not what was written there") }
    transaction = bytes.number(at: 144, as: UInt64.self)
    lastPage = bytes.number(at: 136, as: UInt64.self)
    free = Tree(bytes, at: 40, hasNumbers: true)
    main = Tree(bytes, at: 88)
    let map = bytes.number(at: 32, as: UInt64.self)
    guard lastPage >= 1, lastPage < map / UInt64(file.pageBytes), map < UInt64(Int64.max) else {
      throw file.damaged("its map of \(map) bytes does not hold its last page, \(lastPage)")
    }
  }
}
