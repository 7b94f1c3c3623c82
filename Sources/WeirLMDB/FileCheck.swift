import WeirCore

/// Checks a whole file before a worker writes to it: every page that its newest state refers to, and every row.
///
/// LMDB trusts what it reads: a damaged page would end the process by a signal, and a damaged list of free pages would make it
/// overwrite rows. Readers need no such check, since they check each page that they read. Costs one read of the file.
struct FileCheck {
  private let file: PageFile
  private let snapshot: Snapshot
  private let pagesInFile: UInt64
  /// By page: some tree has it, or the list of free pages.
  private var isTaken: [Bool]

  /// - Throws: `corrupt`.
  static func run(_ file: PageFile, _ snapshot: Snapshot) throws(WeirError) {
    var check = FileCheck(file, snapshot, try file.pagesInFile())
    try check.run()
  }

  private init(_ file: PageFile, _ snapshot: Snapshot, _ pagesInFile: UInt64) {
    self.file = file
    self.snapshot = snapshot
    self.pagesInFile = pagesInFile
    isTaken = [Bool](repeating: false, count: Int(min(snapshot.lastPage + 1, pagesInFile)))
  }

  private mutating func run() throws(WeirError) {
    let file = file
    var trees: [(name: [UInt8], tree: Tree)] = []
    try check(snapshot.main) { page, i, _ throws(WeirError) in
      guard case .tree(let range) = page.data(i) else { throw file.damaged("an entry is not the tree that it should be") }
      trees.append((Array(page.key(i)), Tree(page.bytes, at: range.lowerBound)))
    }
    for (name, tree) in trees {
      var rows = RowCheck()
      switch String(decoding: name, as: UTF8.self) {
      case "rows":
        try check(tree) { page, i, value throws(WeirError) in
          guard rows.isRow(page.key(i), value) else { throw file.damaged("a row is not what was written there") }
        }
      case "meta":
        try check(tree) { page, i, value throws(WeirError) in
          guard MetaLayout.decode(Array(page.key(i)), value) != nil else { throw file.damaged("a mark is not what was written there") }
        }
      default: throw file.damaged("it has a table of an unknown kind")
      }
    }
    try checkFreePages()
  }

  private mutating func take(_ page: UInt64) throws(WeirError) {
    guard page < isTaken.count else { throw file.damaged("the file ends before page \(page)") }
    guard !isTaken[Int(page)] else { throw file.damaged("page \(page) is used twice") }
    isTaken[Int(page)] = true
  }

  /// Pages and entries are as many as the tree's record says, and in order.
  private mutating func check(_ tree: Tree, entry: (TreePage, Int, [UInt8]) throws(WeirError) -> Void) throws(WeirError) {
    let (file, snapshot) = (file, snapshot)
    var (branches, leaves, overflows, entries): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    var last: [UInt8]?
    /// Pages still to visit: number, level, and the key that all of its keys are at or after.
    var waiting: [(number: UInt64, level: Int, from: [UInt8]?)] = tree.root.map { [($0, 1, nil)] } ?? []
    while let (number, level, from) = waiting.popLast() {
      let page = try TreePage(file, number, level: level, of: tree, in: snapshot)
      try take(number)
      guard page.isLeaf else {
        branches += 1
        for i in (0..<page.count).reversed() { waiting.append((page.child(i), level + 1, i == 0 ? from : Array(page.key(i)))) }
        continue
      }
      leaves += 1
      if let last, page.compare(last[...], page.key(0)) >= 0 { throw file.damaged("its keys are out of order") }
      if let from, page.compare(from[...], page.key(0)) > 0 { throw file.damaged("its keys are out of order") }
      if let from, let last, page.compare(last[...], from[...]) >= 0 { throw file.damaged("its keys are out of order") }
      for i in 0..<page.count {
        let value = try page.value(i, file, snapshot) { first, count throws(WeirError) in
          for number in first..<first + count { try take(number) }
          overflows += count
        }
        entries += 1
        try entry(page, i, value)
      }
      last = Array(page.key(page.count - 1))
    }
    guard branches == tree.branchPages, leaves == tree.leafPages, overflows == tree.overflowPages, entries == tree.entries else {
      throw file.damaged("a tree does not have the pages and entries that it counts")
    }
  }

  /// A free page is in no tree. The last pages may be missing from the file, if they are free.
  private mutating func checkFreePages() throws(WeirError) {
    let file = file
    var free: [UInt64] = []
    try check(snapshot.free) { _, _, value throws(WeirError) in
      guard value.count >= 8, value.number(at: 0, as: UInt64.self) <= UInt64(value.count / 8 - 1) else {
        throw file.damaged("its list of free pages cannot be read")
      }
      for i in 0..<Int(value.number(at: 0, as: UInt64.self)) { free.append(value.number(at: 8 + 8 * i, as: UInt64.self)) }
    }
    var missing: UInt64 = 0
    for page in free {
      guard page >= 2, page <= snapshot.lastPage else { throw file.damaged("there is no page \(page), which is listed as free") }
      if page < isTaken.count { try take(page) } else { missing += 1 }
    }
    guard snapshot.lastPage < pagesInFile || snapshot.lastPage - pagesInFile + 1 <= missing else {
      throw file.damaged("the file ends after \(pagesInFile) of \(snapshot.lastPage + 1) pages")
    }
  }
}

/// Checks rows one after the other; the neighbours' table is most often the same.
struct RowCheck {
  private var prefix: [UInt8] = []
  private var seed: UInt64 = 0

  /// Whether the bytes are a row, and the row is the one of this key.
  mutating func isRow(_ key: ArraySlice<UInt8>, _ value: [UInt8]) -> Bool {
    if prefix.isEmpty || !key.starts(with: prefix) {
      guard let table = TableKey.table(of: key) else { return false }
      (prefix, seed) = (TableKey.prefix(table), RowLayout.seed(table))
    }
    return value.withUnsafeBytes { bytes in
      guard let row = RowLayout.Stored(bytes, seed: seed) else { return false }
      return RowCheck.isKey(key, of: row, prefix)
    }
  }

  static func isKey(_ key: ArraySlice<UInt8>, of row: RowLayout.Stored, _ prefix: [UInt8]) -> Bool {
    if prefix.count + row.key.count <= TableKey.bytesMax {
      return key.count == prefix.count + row.key.count && key.starts(with: prefix) && key.dropFirst(prefix.count).elementsEqual(row.key)
    }
    return TableKey.bytes(String(decoding: prefix.dropLast(), as: UTF8.self), Array(row.key))[...] == key
  }
}
