/// Memory for lists that live as long as one call, and are needed again in the next: a stack of its own, for code that is called by one
/// task at a time.
///
/// What does not fit comes from the allocator, once: after the outermost call the memory grows to what was asked for.
public final class Scratch {
  private var memory: UnsafeMutableRawPointer
  private var size = 0
  private var used = 0
  /// Of `used`, with what came from the allocator: the most since the beginning.
  private var most = 0

  public init() { memory = .allocate(byteCount: 0, alignment: Scratch.alignment) }

  deinit { memory.deallocate() }

  private static let alignment = 16

  /// Calls `body` with room for `count` elements, not initialised, which is not valid after the call. Calls may be nested.
  /// - Parameter type: of elements that need no destruction.
  public func with<Element, Result>(
    _ type: Element.Type, _ count: Int, _ body: (UnsafeMutableBufferPointer<Element>) -> Result
  ) -> Result {
    let bytes = (count * MemoryLayout<Element>.stride + Scratch.alignment - 1) & ~(Scratch.alignment - 1)
    let before = used
    used += bytes
    most = max(most, used)
    defer {
      used = before
      if before == 0, most > size { grow() }
    }
    guard used <= size else { return withUnsafeTemporaryAllocation(of: type, capacity: count, body) }
    let place = (memory + before).bindMemory(to: type, capacity: count)
    return body(UnsafeMutableBufferPointer(start: place, count: count))
  }

  private func grow() {
    memory.deallocate()
    size = most
    memory = .allocate(byteCount: size, alignment: Scratch.alignment)
  }
}
