import WeirCore

/// The members of a record that no field reads, see ``Field/rescued``: put together while the record is read, as the text of an object.
final class RescuedMembers {
  /// The place of the field that gets them.
  let field: Int
  /// Empty, or an object whose end is missing. A value does not end with `{`, so after one nothing has been added yet.
  private var text: [UInt8] = []

  init(field: Int) { self.field = field }

  /// A record begins.
  func begin() { text.removeAll(keepingCapacity: true) }

  /// A member, from the quote before its name to the end of its value.
  func add(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) {
    if text.last != 0x7B { text.append(text.isEmpty ? 0x7B : 0x2C) }
    text.append(contentsOf: UnsafeBufferPointer(start: start, count: end - start))
  }

  /// There is something in a list: it is kept as a whole.
  func note() { text.append(0x2C) }

  // MARK: Members within members

  /// A member whose own members follow.
  /// - Parameter value: where its value begins.
  /// - Returns: for ``close(_:)`` and the others.
  func open(_ start: UnsafePointer<UInt8>, _ value: UnsafePointer<UInt8>) -> (before: Int, inside: Int) {
    let before = text.count
    add(start, value)
    text.append(0x7B)
    return (before, text.count)
  }

  func isEmpty(since mark: (before: Int, inside: Int)) -> Bool { text.count == mark.inside }

  /// Its end. Without a member within it is not kept.
  func close(_ mark: (before: Int, inside: Int)) {
    if isEmpty(since: mark) { remove(from: mark) } else { text.append(0x7D) }
  }

  func remove(from mark: (before: Int, inside: Int)) { text.removeLast(text.count - mark.before) }

  // MARK: The whole

  /// The record's end: its row gets the object, or null if there is nothing in it.
  func finish(into sink: inout FieldSink, _ row: Int) {
    guard !text.isEmpty else { return }
    text.append(0x7D)
    text.withUnsafeBufferPointer { sink.put(copyOf: $0, row) }
  }
}
