import CWeirSystem

/// Plain memory that grows in place: a large table that doubles is moved by its pages, so old and new are never in memory together.
/// Freed by `free(_:)`.
func allocated<T: BitwiseCopyable>(_ count: Int) -> UnsafeMutablePointer<T> {
  weir_resize(nil, count * MemoryLayout<T>.stride).assumingMemoryBound(to: T.self)
}

/// The same memory with room for `count` of them.
func resized<T: BitwiseCopyable>(_ memory: UnsafeMutablePointer<T>, _ count: Int) -> UnsafeMutablePointer<T> {
  weir_resize(memory, count * MemoryLayout<T>.stride).assumingMemoryBound(to: T.self)
}

func free<T: BitwiseCopyable>(_ memory: UnsafeMutablePointer<T>) { weir_release(memory) }
