import WeirCore

/// How messages become the declared fields: made once, run once a record. Plain memory, as ``NestedFields``: reading it costs no reference
/// count.
final class ProtobufProgram {
  /// From the encoding of a value to the form that a column has.
  enum Conversion {
    case boolean, integer, real, text, textAsTimestamp
    /// The name of an enum's number, and the number itself as text where it has none.
    case symbol(Int)
    case decimal(precision: Int, scale: Int)
    /// Multiplied by this number of microseconds, or divided if negative.
    case timestamp(Int64)
  }

  /// How one value is made: indexes are of ``plans`` and ``nodes``.
  enum Plan {
    case scalar(ProtobufSchema.Kind, Conversion)
    /// Seconds and nanoseconds.
    case timestamp
    /// A message whose field 1 is the value.
    case wrapper(ProtobufSchema.Kind, Conversion)
    case structure(node: Int, members: Int)
    case list(Int)
    /// The entry's key is the first slot of its node, the value the second one.
    case map(node: Int)
  }

  /// Where a value goes.
  enum Target {
    /// Nowhere: a member of a oneof, which ends the values of the others.
    case none
    case field(Int)
    /// Below it there are fields.
    case message(node: Int)
    /// It may take several parts of the record: read when all are known.
    case parts(field: Int, chain: Int)
  }

  struct Slot {
    var number: UInt32
    var kind: ProtobufSchema.Kind
    var wire: ProtobufWire
    var isRepeated: Bool
    var hasPresence: Bool
    /// -1: it is in none.
    var oneof: Int32 = -1
    var target = Target.none
    /// Of ``plans``; -1: it has no value here.
    var plan = -1
    /// Of the struct that it is in; -1: of none.
    var member = -1

    /// Whether the bytes of a part are its value.
    @inline(__always)
    func takes(_ other: ProtobufWire) -> Bool { other == wire || other == .bytes && isRepeated && kind.canBePacked }
  }

  struct Node {
    var slots: UnsafeMutableBufferPointer<Slot>
    /// By number, the slot's place + 1 or 0.
    var table: UnsafeMutableBufferPointer<UInt32>
    /// Of larger numbers, ascending.
    var high: UnsafeMutableBufferPointer<High>

    @inline(__always)
    func place(_ number: UInt32) -> Int {
      if Int(number) < table.count { return Int(table[Int(number)]) - 1 }
      return high.isEmpty ? -1 : search(number)
    }

    private func search(_ number: UInt32) -> Int {
      var (low, end) = (0, high.count)
      while low < end {
        let middle = (low + end) / 2
        if high[middle].number < number { low = middle + 1 } else { end = middle }
      }
      return low < high.count && high[low].number == number ? high[low].place : -1
    }
  }

  struct High {
    var number: UInt32
    var place: Int
  }

  /// Of an enum.
  struct Symbols {
    var numbers: UnsafeMutableBufferPointer<Int32>
    var names: UnsafeMutableBufferPointer<StringRef>

    func name(_ number: Int32) -> StringRef? {
      if number >= 0, Int(number) < numbers.count, numbers[Int(number)] == number { return names[Int(number)] }
      var (low, end) = (0, numbers.count)
      while low < end {
        let middle = (low + end) / 2
        if numbers[middle] < number { low = middle + 1 } else { end = middle }
      }
      return low < numbers.count && numbers[low] == number ? names[low] : nil
    }
  }

  /// A field that has a value also where its message does not write it, or that is read when the whole record is known.
  struct Late {
    var node: Int
    var slot: Int
  }

  /// The first is the record's.
  let nodes: UnsafeMutableBufferPointer<Node>
  let plans: UnsafeMutableBufferPointer<Plan>
  let symbols: UnsafeMutableBufferPointer<Symbols>
  let defaults: UnsafeMutableBufferPointer<Late>
  let parts: UnsafeMutableBufferPointer<Late>
  /// Of the fields that are read late.
  let chains: Int
  /// Holds the names of enums' numbers.
  let arena = Arena()

  /// Why a field cannot be read, in words that follow its name.
  struct Fault: Error { var reason: String }

  /// - Throws: why no record can give the fields.
  init(_ schema: ProtobufSchema, fields: [Field]) throws(Fault) {
    var compiler = ProtobufCompiler(schema, fields)
    try compiler.compile()
    let arena = arena
    nodes = ProtobufProgram.copy(compiler.nodes.map { ProtobufProgram.node($0) })
    plans = ProtobufProgram.copy(compiler.plans)
    symbols = ProtobufProgram.copy(
      schema.symbols.map { known in
        Symbols(numbers: ProtobufProgram.copy(known.numbers), names: ProtobufProgram.copy(known.names.map { arena.copy($0) }))
      })
    defaults = ProtobufProgram.copy(compiler.defaults)
    parts = ProtobufProgram.copy(compiler.parts)
    chains = compiler.parts.count
  }

  deinit {
    for node in nodes {
      node.slots.deallocate()
      node.table.deallocate()
      node.high.deallocate()
    }
    for known in symbols {
      known.numbers.deallocate()
      known.names.deallocate()
    }
    nodes.deallocate()
    plans.deallocate()
    symbols.deallocate()
    defaults.deallocate()
    parts.deallocate()
  }

  /// Numbers from here on are found by search.
  private static let tableMax: UInt32 = 512

  private static func node(_ slots: [Slot]) -> Node {
    let few = slots.filter { $0.number < tableMax }
    var table = [UInt32](repeating: 0, count: (few.map { Int($0.number) }.max() ?? 0) + 1)
    for (place, slot) in slots.enumerated() where slot.number < tableMax { table[Int(slot.number)] = UInt32(place + 1) }
    var high = slots.enumerated().filter { $1.number >= tableMax }.map { High(number: $1.number, place: $0) }
    high.sort { $0.number < $1.number }
    return Node(slots: copy(slots), table: copy(table), high: copy(high))
  }

  private static func copy<T>(_ items: [T]) -> UnsafeMutableBufferPointer<T> {
    let buffer = UnsafeMutableBufferPointer<T>.allocate(capacity: items.count)
    _ = buffer.initialize(from: items)
    return buffer
  }
}
