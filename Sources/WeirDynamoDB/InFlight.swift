/// Does requests together, a bounded number of them at a time.
enum InFlight {
  /// - Throws: the first error; the others that are under way are cancelled and waited for.
  static func forEach<T: Sendable>(_ items: some Collection<T> & Sendable, max: Int, _ body: @escaping @Sendable (T) async throws -> Void)
    async throws
  {
    _ = try await map(items, max: max) { (item) -> Bool in
      try await body(item)
      return true
    }
  }

  /// - Returns: what `body` made, in the order of the items.
  static func map<T: Sendable, R: Sendable>(
    _ items: some Collection<T> & Sendable, max: Int, _ body: @escaping @Sendable (T) async throws -> R
  ) async throws -> [R] {
    try await withThrowingTaskGroup(of: (Int, R).self) { group in
      var results = [R?](repeating: nil, count: items.count)
      var next = items.startIndex
      var number = 0
      func begin() {
        guard next != items.endIndex else { return }
        let (item, place) = (items[next], number)
        group.addTask { (place, try await body(item)) }
        next = items.index(after: next)
        number += 1
      }
      for _ in 0..<Swift.max(1, max) { begin() }
      while let (place, result) = try await group.next() {
        results[place] = result
        begin()
      }
      return results.compactMap { $0 }
    }
  }
}
