/// A run of records of a key, see ``ExpiringStore``.
struct KeyRun {
  static let none: Int32 = -1
  /// ``older`` of a run that is no key's.
  static let gone: Int32 = -2

  /// Event times, UTC microseconds.
  var oldest: Int64
  var newest: Int64
  /// The key's run before it, whose number is that of its cell too.
  var older: Int32
}

/// The runs of one key by time, for keys with many of them: a treap. Finding, adding and removing a run take a number of steps that grows
/// with the logarithm of the number of runs.
///
/// It holds numbers of runs and no times, so a run may grow as long as it does not pass its neighbours.
struct KeyRunIndex {
  private struct Node {
    var run: Int32
    /// Numbers of nodes; ``KeyRun/none``: there is none.
    var earlier = KeyRun.none
    var later = KeyRun.none
  }

  private var nodes: [Node] = []
  private var free: [Int32] = []
  private var root = KeyRun.none
  /// Nodes that were looked at, for tests.
  private(set) var steps = 0

  /// Bytes held.
  var byteCount: Int { nodes.capacity * MemoryLayout<Node>.stride + free.capacity * 4 }

  /// A node's number, mixed: no order of times gives priorities that make a deep tree.
  private static func priority(_ node: Int32) -> UInt64 {
    var z = UInt64(UInt32(bitPattern: node)) &+ 1
    z = (z &* 0x9E37_79B9_7F4A_7C15)
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// The latest run that begins before `bound`, and the one after it; -1: there is none.
  mutating func last(before bound: Int64, in runs: [KeyRun]) -> (run: Int, later: Int) {
    var (node, found) = (root, (run: -1, later: -1))
    while node >= 0 {
      steps += 1
      let run = Int(nodes[Int(node)].run)
      if runs[run].oldest < bound {
        found.run = run
        node = nodes[Int(node)].later
      } else {
        found.later = run
        node = nodes[Int(node)].earlier
      }
    }
    return found
  }

  mutating func insert(_ run: Int, in runs: [KeyRun]) {
    let node: Int32
    if let reused = free.popLast() {
      node = reused
      nodes[Int(node)] = Node(run: Int32(run))
    } else {
      node = Int32(nodes.count)
      nodes.append(Node(run: Int32(run)))
    }
    let (earlier, later) = split(root, before: runs[run].oldest, runs)
    root = join(join(earlier, node), later)
  }

  mutating func remove(_ run: Int, in runs: [KeyRun]) {
    let (earlier, rest) = split(root, before: runs[run].oldest, runs)
    let (own, later) = split(rest, before: runs[run].oldest + 1, runs)
    if own >= 0 { free.append(own) }
    root = join(earlier, later)
  }

  /// The nodes whose runs begin before `bound`, and the others.
  private mutating func split(_ node: Int32, before bound: Int64, _ runs: [KeyRun]) -> (Int32, Int32) {
    guard node >= 0 else { return (KeyRun.none, KeyRun.none) }
    steps += 1
    if runs[Int(nodes[Int(node)].run)].oldest < bound {
      let (earlier, later) = split(nodes[Int(node)].later, before: bound, runs)
      nodes[Int(node)].later = earlier
      return (node, later)
    }
    let (earlier, later) = split(nodes[Int(node)].earlier, before: bound, runs)
    nodes[Int(node)].earlier = later
    return (earlier, node)
  }

  private mutating func join(_ earlier: Int32, _ later: Int32) -> Int32 {
    guard earlier >= 0 else { return later }
    guard later >= 0 else { return earlier }
    steps += 1
    if KeyRunIndex.priority(earlier) > KeyRunIndex.priority(later) {
      nodes[Int(earlier)].later = join(nodes[Int(earlier)].later, later)
      return earlier
    }
    nodes[Int(later)].earlier = join(earlier, nodes[Int(later)].earlier)
    return later
  }
}
