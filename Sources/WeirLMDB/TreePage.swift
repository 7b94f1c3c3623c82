import WeirCore

/// A branch or leaf page whose entries were checked: they are in the page, do not overlap, fill it, and are in order.
struct TreePage {
  /// What the data of a leaf's entry is.
  enum Data {
    case bytes(Range<Int>)
    /// In pages of their own.
    case overflow(page: UInt64, count: Int)
    case tree(Range<Int>)
  }

  private static let headBytes = 16
  private static let nodeBytes = 8
  /// LMDB's own bound.
  private static let levelsMax = 32

  let bytes: [UInt8]
  let count: Int
  let isLeaf: Bool
  private let hasNumbers: Bool

  /// - Parameters:
  ///   - level: from 1, the root, to the tree's depth.
  init(_ file: PageFile, _ number: UInt64, level: Int, of tree: Tree, in snapshot: Snapshot) throws(WeirError) {
    guard number >= 2, number <= snapshot.lastPage, level <= TreePage.levelsMax else {
      throw file.damaged("there is no page \(number) in a tree")
    }
    bytes = try file.page(number)
    let (lower, upper) = (Int(bytes.number(at: 12, as: UInt16.self)), Int(bytes.number(at: 14, as: UInt16.self)))
    isLeaf = level == tree.depth
    hasNumbers = tree.hasNumbers
    count = (lower - TreePage.headBytes) / 2
    let flags = bytes.number(at: 10, as: UInt16.self)
    guard flags == (isLeaf ? 2 : 1), lower >= TreePage.headBytes + 2, lower % 2 == 0, lower <= upper, upper <= bytes.count, isSound(upper)
    else { throw file.damaged("page \(number) is not what was written there") }
  }

  private func isSound(_ upper: Int) -> Bool {
    var filled = 0
    for i in 0..<count {
      let at = place(i)
      guard at >= upper, at + TreePage.nodeBytes <= bytes.count else { return false }
      guard let size = size(at), at + size <= bytes.count else { return false }
      // LMDB packs entries, each to an even size.
      filled += (size + 1) & ~1
      // The first key of a branch page covers everything before the second.
      if i > (isLeaf ? 0 : 1), !isAscending(i - 1, i) { return false }
    }
    return filled == bytes.count - upper
  }

  private func size(_ at: Int) -> Int? {
    let (key, flags) = (Int(bytes.number(at: at + 6, as: UInt16.self)), bytes.number(at: at + 4, as: UInt16.self))
    guard key <= TableKey.bytesMax, !isLeaf || key > 0, !hasNumbers || key == 8 || !isLeaf else { return nil }
    guard isLeaf else { return TreePage.nodeBytes + key }
    switch flags {
    case 0: return TreePage.nodeBytes + key + dataCount(at)
    case 1: return TreePage.nodeBytes + key + 8
    case 2: return dataCount(at) == Tree.recordBytes ? TreePage.nodeBytes + key + Tree.recordBytes : nil
    default: return nil
    }
  }

  private func place(_ i: Int) -> Int { Int(bytes.number(at: TreePage.headBytes + 2 * i, as: UInt16.self)) }

  private func dataCount(_ at: Int) -> Int { Int(bytes.number(at: at, as: UInt32.self)) }

  private func isAscending(_ a: Int, _ b: Int) -> Bool { compare(key(a), key(b)) < 0 }

  /// By bytes, a shorter key before those that begin with it; or by number.
  func compare(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Int {
    if hasNumbers {
      guard a.count == 8, b.count == 8 else { return a.count - b.count }
      return a.reversed().lexicographicallyPrecedes(b.reversed()) ? -1 : a == b ? 0 : 1
    }
    return TreePage.compare(a, b)
  }

  static func compare(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Int {
    a.withUnsafeBytes { a in
      b.withUnsafeBytes { b in
        for i in 0..<min(a.count, b.count) where a[i] != b[i] { return a[i] < b[i] ? -1 : 1 }
        return a.count - b.count
      }
    }
  }

  func key(_ i: Int) -> ArraySlice<UInt8> {
    let at = place(i)
    return bytes[at + TreePage.nodeBytes..<at + TreePage.nodeBytes + Int(bytes.number(at: at + 6, as: UInt16.self))]
  }

  /// Of a branch page.
  func child(_ i: Int) -> UInt64 {
    let at = place(i)
    return UInt64(bytes.number(at: at, as: UInt32.self)) | UInt64(bytes.number(at: at + 4, as: UInt16.self)) << 32
  }

  /// Of a leaf page.
  func data(_ i: Int) -> Data {
    let at = place(i)
    let start = at + TreePage.nodeBytes + Int(bytes.number(at: at + 6, as: UInt16.self))
    switch bytes.number(at: at + 4, as: UInt16.self) {
    case 1: return .overflow(page: bytes.number(at: start, as: UInt64.self), count: dataCount(at))
    case 2: return .tree(start..<start + Tree.recordBytes)
    default: return .bytes(start..<start + dataCount(at))
    }
  }

  /// The bytes of a leaf's entry.
  /// - Parameter pages: gets the first of the pages of its own that the entry has, and how many they are.
  func value(
    _ i: Int, _ file: PageFile, _ snapshot: Snapshot, pages: (UInt64, UInt64) throws(WeirError) -> Void = { _, _ in }
  ) throws(WeirError) -> [UInt8] {
    switch data(i) {
    case .bytes(let range), .tree(let range): return Array(bytes[range])
    case .overflow(let page, let count):
      guard page >= 2, page <= snapshot.lastPage else { throw file.damaged("there is no page \(page)") }
      let head = try file.page(page, count: TreePage.headBytes)
      let (flags, own) = (head.number(at: 10, as: UInt16.self), UInt64(head.number(at: 12, as: UInt32.self)))
      let needed = UInt64((TreePage.headBytes - 1 + count) / file.pageBytes + 1)
      guard flags == 4, own >= needed, own - 1 <= snapshot.lastPage - page else {
        throw file.damaged("page \(page) is not what was written there")
      }
      try pages(page, own)
      guard needed <= (try file.pagesInFile()) else { throw file.damaged("the file ends before the contents of page \(page)") }
      return Array(try file.page(page, count: TreePage.headBytes + count)[TreePage.headBytes...])
    }
  }
}

/// Walks the entries of a tree in the order of their keys.
struct TreeCursor {
  private let file: PageFile
  private let snapshot: Snapshot
  private let tree: Tree
  /// From the root to a leaf, with the entry that was taken in each.
  private var steps: [(page: TreePage, at: Int)] = []

  init(_ file: PageFile, _ snapshot: Snapshot, _ tree: Tree) {
    self.file = file
    self.snapshot = snapshot
    self.tree = tree
  }

  var key: ArraySlice<UInt8> { steps[steps.count - 1].page.key(steps[steps.count - 1].at) }

  func value() throws(WeirError) -> [UInt8] { try steps[steps.count - 1].page.value(steps[steps.count - 1].at, file, snapshot) }

  /// The record of the tree that an entry is.
  func subtree() throws(WeirError) -> Tree {
    let (page, at) = steps[steps.count - 1]
    guard case .tree(let range) = page.data(at) else { throw file.damaged("an entry is not the tree that it should be") }
    return Tree(page.bytes, at: range.lowerBound)
  }

  /// Goes to the first entry whose key is at or after `key`.
  /// - Returns: false if there is none.
  mutating func seek(_ key: [UInt8]) throws(WeirError) -> Bool {
    steps = []
    guard let root = tree.root else {
      guard tree.entries == 0, tree.depth == 0 else { throw file.damaged("a tree of \(tree.entries) entries has no pages") }
      return false
    }
    var number = root
    while true {
      let page = try TreePage(file, number, level: steps.count + 1, of: tree, in: snapshot)
      // The first entry that is larger (branch), or not smaller (leaf).
      var (low, high) = (page.isLeaf ? 0 : 1, page.count)
      while low < high {
        let middle = (low + high) / 2
        let order = page.compare(page.key(middle), key[...])
        if page.isLeaf ? order < 0 : order <= 0 { low = middle + 1 } else { high = middle }
      }
      if page.isLeaf {
        steps.append((page, low))
        break
      }
      steps.append((page, low - 1))
      number = page.child(low - 1)
    }
    return try settle(key)
  }

  /// A damaged key in a branch page leads to a neighbour of the right leaf. So where the searched key would be the first or the
  /// last of its leaf, the neighbour's key must be on the other side of it.
  private mutating func settle(_ key: [UInt8]) throws(WeirError) -> Bool {
    let (leaf, at) = steps[steps.count - 1]
    if at == 0, leaf.compare(leaf.key(0), key[...]) != 0, let before = try lastKeyBefore(), leaf.compare(before[...], key[...]) >= 0 {
      throw file.damaged("its keys are out of order")
    }
    if at < leaf.count { return true }
    steps[steps.count - 1].at -= 1
    guard try next() else { return false }
    guard leaf.compare(self.key, key[...]) >= 0 else { throw file.damaged("its keys are out of order") }
    return true
  }

  /// The last key of the leaf before this one; nil: this is the first.
  private func lastKeyBefore() throws(WeirError) -> [UInt8]? {
    guard let level = steps.dropLast().lastIndex(where: { $0.at > 0 }) else { return nil }
    var number = steps[level].page.child(steps[level].at - 1)
    for level in level + 2...tree.depth {
      let page = try TreePage(file, number, level: level, of: tree, in: snapshot)
      if page.isLeaf { return Array(page.key(page.count - 1)) }
      number = page.child(page.count - 1)
    }
    return nil
  }

  /// - Returns: false after the last entry.
  mutating func next() throws(WeirError) -> Bool {
    let (leaf, at) = steps[steps.count - 1]
    if at + 1 < leaf.count {
      steps[steps.count - 1].at += 1
      return true
    }
    guard let level = steps.dropLast().lastIndex(where: { $0.at + 1 < $0.page.count }) else { return false }
    steps.removeSubrange((level + 1)...)
    steps[level].at += 1
    while steps.count < tree.depth {
      let (page, at) = steps[steps.count - 1]
      steps.append((try TreePage(file, page.child(at), level: steps.count + 1, of: tree, in: snapshot), 0))
    }
    guard leaf.compare(leaf.key(at), key) < 0 else { throw file.damaged("its keys are out of order") }
    return true
  }
}
