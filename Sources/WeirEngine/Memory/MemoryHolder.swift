import WeirCore

/// A part of the memory, and how to make it smaller.
struct MemoryHolder {
  var bytes: Int64
  var name: String
  var remedy: Wording
}
