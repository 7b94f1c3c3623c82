/// Makes the bytes of values of nested types, one value after the other. Decoders drive it; it needs no type.
///
/// A value is a byte 0 for null, or 1 and what it is: `bool` a byte, `int64`, `timestamp` and `double` 8 bytes, `decimal` 16, `string` its
/// length (4 bytes) and its bytes; `list` its length (4 bytes) and its values; `struct` the values of its members in their order; `map` its
/// length (4 bytes) and for each entry its key (a string without the first byte) and its value. Numbers are little-endian. Equal values have
/// equal bytes. A column has what follows the first byte; null is in its validity.
public final class NestedBuilder {
  /// Values of one record in one field, nulls and missing members among them.
  public static let valuesMax = 1 << 18

  /// A list, struct or map that is open.
  private struct Frame {
    enum Kind { case list, structure, map }
    var kind: Kind
    /// Where its first value or its length is stored.
    var start: Int
    /// Of `parts`: its members' or entries' bytes.
    var partsFrom: Int
    /// Elements, or the member or entry that is open; -1: none yet.
    var current = -1
    /// Members up to here have bytes.
    var next = 0
    /// Members came in another order, or one came twice.
    var isMoved = false
  }

  private var base: UnsafeMutablePointer<UInt8>
  private var capacity = 256
  private var count = 0
  private var values = 0
  private var frames: [Frame] = []
  /// The bytes of members and entries of open structs and maps.
  private var parts: [Range<Int>] = []
  /// Of large maps that are open, by their frame: the entry of each key.
  private var entries: [Int: [Hash128: Int]] = [:]

  public init() { base = .allocate(capacity: capacity) }
  deinit { base.deallocate() }

  /// More values than a record may have in a field.
  public var isFull: Bool { values > NestedBuilder.valuesMax }

  /// Begins a new value.
  public func begin() {
    (count, values) = (0, 0)
    frames.removeAll(keepingCapacity: true)
    parts.removeAll(keepingCapacity: true)
    if !entries.isEmpty { entries.removeAll() }
  }

  /// The value, copied: what a column has.
  public func finish(into arena: Arena) -> StringRef {
    precondition(frames.isEmpty && count > 0 && base[0] == 1, "a whole value that is not null")
    return arena.copy(UnsafeBufferPointer(start: base + 1, count: count - 1))
  }

  // MARK: Scalars

  @inline(__always)
  private func reserve(_ more: Int) {
    guard count + more > capacity else { return }
    let larger = max(count + more, capacity * 2)
    let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
    moved.update(from: base, count: count)
    base.deallocate()
    (base, capacity) = (moved, larger)
  }

  @inline(__always)
  private func put<T: BitwiseCopyable>(_ value: T) {
    reserve(MemoryLayout<T>.size)
    UnsafeMutableRawPointer(base + count).storeBytes(of: value, as: T.self)
    count += MemoryLayout<T>.size
  }

  @inline(__always)
  private func present() {
    values += 1
    put(UInt8(1))
  }

  public func null() {
    values += 1
    put(UInt8(0))
  }

  public func bool(_ value: Bool) {
    present()
    put(UInt8(value ? 1 : 0))
  }

  /// An `int64` or `timestamp`.
  public func int64(_ value: Int64) {
    present()
    put(value.littleEndian)
  }

  public func double(_ value: Double) {
    present()
    put(value.bitPattern.littleEndian)
  }

  public func decimal(_ value: Int128) {
    present()
    put(value.littleEndian)
  }

  public func string(_ value: StringRef) {
    present()
    text(value)
  }

  private func text(_ value: StringRef) {
    put(UInt32(value.count).littleEndian)
    reserve(value.count)
    (base + count).update(from: value.start, count: value.count)
    count += value.count
  }

  // MARK: Lists

  private func open(_ kind: Frame.Kind) {
    present()
    frames.append(Frame(kind: kind, start: count, partsFrom: parts.count))
  }

  public func beginList() {
    open(.list)
    put(UInt32(0))
  }

  /// Before each element.
  public func element() { frames[frames.count - 1].current += 1 }

  public func endList() {
    let frame = frames.removeLast()
    setLength(frame.current + 1, at: frame.start)
  }

  private func setLength(_ length: Int, at place: Int) {
    UnsafeMutableRawPointer(base + place).storeBytes(of: UInt32(length).littleEndian, as: UInt32.self)
  }

  // MARK: Structs

  public func beginStruct(members: Int) {
    open(.structure)
    parts.append(contentsOf: repeatElement(0..<0, count: members))
  }

  /// Before the value of a member. What is left out is null; of one that comes twice the last value counts.
  public func member(_ number: Int) {
    closePart()
    let top = frames.count - 1
    if number >= frames[top].next {
      fill(to: number)
      frames[top].next = number + 1
    } else {
      frames[top].isMoved = true
    }
    frames[top].current = number
    parts[frames[top].partsFrom + number] = count..<count
  }

  public func endStruct(members: Int) {
    closePart()
    fill(to: members)
    let frame = frames.removeLast()
    if frame.isMoved { arrange(from: frame.start, frame.partsFrom) }
    parts.removeLast(members)
  }

  /// Nulls for members that were left out.
  private func fill(to number: Int) {
    let frame = frames[frames.count - 1]
    guard frame.next < number else { return }
    for member in frame.next..<number {
      parts[frame.partsFrom + member] = count..<count + 1
      null()
    }
    frames[frames.count - 1].next = number
  }

  /// The member or entry that is open ends here.
  private func closePart() {
    let frame = frames[frames.count - 1]
    guard frame.current >= 0 else { return }
    let part = frame.partsFrom + frame.current
    parts[part] = parts[part].lowerBound..<count
  }

  /// Brings parts into their order, without what came twice.
  private func arrange(from start: Int, _ first: Int) {
    let end = count
    for part in parts[first...] {
      reserve(part.count)
      (base + count).update(from: base + part.lowerBound, count: part.count)
      count += part.count
    }
    (base + start).update(from: base + end, count: count - end)
    count = start + count - end
  }

  // MARK: Maps

  /// Maps of more entries find their keys by hash.
  private static let fewEntries = 16

  public func beginMap() {
    open(.map)
    put(UInt32(0))
  }

  /// Before the value of an entry. Of a key that comes twice the last value counts, at the place of the first.
  public func key(_ key: StringRef) {
    closePart()
    let top = frames.count - 1
    let known = entry(of: key, top)
    if let known {
      frames[top].isMoved = true
      frames[top].current = known
      parts[frames[top].partsFrom + known] = count..<count
    } else {
      frames[top].current = parts.count - frames[top].partsFrom
      parts.append(count..<count)
    }
    text(key)
  }

  private func entry(of key: StringRef, _ top: Int) -> Int? {
    let first = frames[top].partsFrom
    let number = parts.count - first
    if number < NestedBuilder.fewEntries { return (0..<number).first { self.key(ofPart: first + $0) == key } }
    if entries[top] == nil {
      entries[top] = [:]
      for i in 0..<number { entries[top]![Hash128(self.key(ofPart: first + i))] = i }
    }
    let hash = Hash128(key)
    if let known = entries[top]![hash] { return known }
    entries[top]![hash] = number
    return nil
  }

  private func key(ofPart part: Int) -> StringRef {
    let place = UnsafeRawPointer(base + parts[part].lowerBound)
    let length = Int(UInt32(littleEndian: place.loadUnaligned(as: UInt32.self)))
    return StringRef(start: UnsafePointer(base + parts[part].lowerBound + 4), count: length)
  }

  public func endMap() {
    closePart()
    let frame = frames.removeLast()
    let number = parts.count - frame.partsFrom
    if frame.isMoved { arrange(from: frame.start + 4, frame.partsFrom) }
    setLength(number, at: frame.start)
    if !entries.isEmpty { entries[frames.count] = nil }
    parts.removeLast(number)
  }

  // MARK: Messages

  /// The way to the value that is being made: `[3].price["eur"]`.
  public func path(in type: ColumnType) -> String {
    var path = ""
    var type = type
    for frame in frames where frame.current >= 0 {
      switch type {
      case .list(let element):
        path += "[\(frame.current)]"
        type = element
      case .structure(let members):
        path += ".\(FieldPath.text([.name(members[frame.current].name)]))"
        type = members[frame.current].type
      case .map(let value):
        path += "[\"\(key(ofPart: frame.partsFrom + frame.current).description.shortened(toBytes: 40))\"]"
        type = value
      default: return path
      }
    }
    return path
  }
}
