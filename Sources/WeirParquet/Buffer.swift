/// Growing memory with unchecked stores: the pages and tables of the writer. Not zeroed.
struct Buffer<Element: BitwiseCopyable>: ~Copyable {
  private(set) var base: UnsafeMutablePointer<Element>
  private(set) var capacity: Int
  var count = 0

  init(capacity: Int = 64) {
    self.capacity = max(capacity, 1)
    base = .allocate(capacity: self.capacity)
  }

  init(repeating value: Element, count: Int) {
    self.init(capacity: count)
    base.update(repeating: value, count: count)
    self.count = count
  }

  deinit { base.deallocate() }

  /// The place after the last element.
  var end: UnsafeMutablePointer<Element> { base + count }

  /// Makes room for `more` elements after the last one.
  @inline(__always) mutating func reserve(_ more: Int) {
    if count + more > capacity { grow(to: count + more) }
  }

  private mutating func grow(to least: Int) {
    let bigger = max(least, capacity * 2)
    let moved = UnsafeMutablePointer<Element>.allocate(capacity: bigger)
    moved.update(from: base, count: count)
    base.deallocate()
    base = moved
    capacity = bigger
  }

  @inline(__always) mutating func append(_ element: Element) {
    reserve(1)
    base[count] = element
    count += 1
  }

  @inline(__always) mutating func append(_ from: UnsafePointer<Element>, count more: Int) {
    reserve(more)
    end.update(from: from, count: more)
    count += more
  }

  mutating func append(_ elements: [Element]) {
    elements.withUnsafeBufferPointer { if let from = $0.baseAddress { append(from, count: $0.count) } }
  }

  /// Empties it; the memory stays.
  mutating func removeAll() { count = 0 }

  /// Empties it and gives the memory back.
  mutating func release() { self = Buffer(capacity: 64) }
}

extension Buffer where Element == UInt8 {
  /// ULEB128.
  @inline(__always) mutating func append(varint value: UInt64) {
    reserve(10)
    var value = value
    while value >= 0x80 {
      base[count] = UInt8(truncatingIfNeeded: value) | 0x80
      count += 1
      value >>= 7
    }
    base[count] = UInt8(truncatingIfNeeded: value)
    count += 1
  }

  /// The value's bytes, least significant first.
  @inline(__always) mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
    let size = MemoryLayout<T>.size
    reserve(size)
    UnsafeMutableRawPointer(end).storeBytes(of: value.littleEndian, as: T.self)
    count += size
  }
}
