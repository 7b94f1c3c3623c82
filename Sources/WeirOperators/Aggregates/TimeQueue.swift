/// Numbers by time, the earliest first: a binary heap.
struct TimeQueue {
  private struct Item {
    let time: Int64
    let number: Int32
  }

  private var items: [Item] = []

  /// Bytes held.
  var byteCount: Int { items.capacity * MemoryLayout<Item>.stride }

  mutating func push(_ number: Int, at time: Int64) {
    var at = items.count
    items.append(Item(time: time, number: Int32(truncatingIfNeeded: number)))
    while at > 0, items[(at - 1) / 2].time > items[at].time {
      items.swapAt(at, (at - 1) / 2)
      at = (at - 1) / 2
    }
  }

  /// Takes out the earliest number whose time is not after `time`; nil: there is none.
  mutating func pop(through time: Int64) -> Int? {
    guard let first = items.first, first.time <= time else { return nil }
    let last = items.removeLast()
    guard !items.isEmpty else { return Int(first.number) }
    items[0] = last
    var at = 0
    while 2 * at + 1 < items.count {
      var next = 2 * at + 1
      if next + 1 < items.count, items[next + 1].time < items[next].time { next += 1 }
      if items[at].time <= items[next].time { break }
      items.swapAt(at, next)
      at = next
    }
    return Int(first.number)
  }

  mutating func removeAll() { items = [] }
}
