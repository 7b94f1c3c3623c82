import WeirCore

/// How many partitions of a table the windows of one cut go to: each is a file, and all files of a cut are in one entry (law 7).
package struct PartitionBound: Sendable {
  package let partitionsMax: Int
  /// The partition of a group, by its encoded `by` values (``StateKey``); nil: any number of windows are in one.
  let partition: @Sendable (ArraySlice<UInt8>) -> Hash128

  package init(_ partitionsMax: Int, partition: @escaping @Sendable (ArraySlice<UInt8>) -> Hash128) {
    (self.partitionsMax, self.partition) = (partitionsMax, partition)
  }
}

/// Windows that close at once are written out in parts where they belong to very many partitions: the first part takes the groups of
/// the first partitions, with all their final windows, so that each partition has one file. The others follow with the next cuts.
///
/// A group that was written out is from then on late for the windows that it gave, as a record is that came after them
/// (``WindowMath``). So what is left looks like any other open window: in memory, in the lane's state, and to a program of before.
extension WindowStore {
  /// Groups of the first part; nil: one part holds all.
  func firstPart(through bound: Int64, _ limit: PartitionBound) -> [Bool]? {
    guard groups.count > limit.partitionsMax else { return nil }
    var part = [Bool](repeating: false, count: groups.count)
    for (key, pane) in panes where isDue(key, by: bound) { for group in pane.groups { part[Int(group)] = true } }
    var partitions: Set<Hash128> = []
    var isAll = true
    // In the order of their first appearance.
    for group in part.indices where part[group] {
      let partition = limit.partition(groups.key(of: group))
      if partitions.contains(partition) { continue }
      if partitions.count < limit.partitionsMax { partitions.insert(partition) } else { (part[group], isAll) = (false, false) }
    }
    return isAll ? nil : part
  }

  /// Takes out the final windows of some groups.
  func finish(_ part: [Bool], through bound: Int64) -> WindowResults {
    var own: [(key: PaneKey, pane: Pane)] = []
    var rest: [(key: PaneKey, pane: Pane)] = []
    for (key, pane) in panes {
      guard isDue(key, by: bound) else {
        rest.append((key, pane))
        continue
      }
      let (taken, left) = (Pane(layout, groups: 0), Pane(layout, groups: 0))
      taken.merge(pane) { part[Int($0)] }
      left.merge(pane) { !part[Int($0)] }
      if !taken.groups.isEmpty { own.append((key, taken)) }
      if !left.groups.isEmpty { rest.append((key, left)) }
    }
    panes = rest
    var results = WindowResults(measures: layout.count)
    var emission = WindowEmission(
      math: math, layout: layout, keys: groups.keys, panes: own, emittedThrough: emittedThrough, bound: bound)
    if emission.emit(into: &results) {
      let more = emission.detached { _ in false }
      results.outOfRange += more.outOfRange()
      results.backlog = WindowBacklog(measures: layout.count, more)
    }
    // Windows that end later hold them too.
    for (key, taken) in own {
      let missed = math.ended(pane: key.start, by: bound)
      if missed < math.windowsPerPane { pane(PaneKey(start: key.start, missed: missed)).merge(taken) { _ in true } }
    }
    return results
  }

  /// The pane is in a window that ends at or before `bound` and is not written out.
  private func isDue(_ key: PaneKey, by bound: Int64) -> Bool {
    math.ended(pane: key.start, by: bound) > max(key.missed, math.ended(pane: key.start, by: emittedThrough))
  }
}
