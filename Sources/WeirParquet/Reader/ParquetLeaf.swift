import WeirCore

/// A leaf column of a file that is read: its place in the schema.
package struct ParquetLeaf: Sendable, Hashable {
  /// What its values are read as.
  package enum Kind: Sendable, Hashable {
    case bool
    /// INT32 and INT64.
    case int
    /// FLOAT and DOUBLE.
    case double
    /// Texts, bytes, values of fixed length, INT96.
    case bytes
  }

  /// Names from the root's child to the leaf, those of lists' and maps' inner groups among them.
  package let path: [String]
  /// The definition level of a value that is there.
  package let maxDefinition: Int
  /// Lists and maps on the way.
  package let maxRepetition: Int
  /// The definition level from which on the innermost list or map has an entry; 0 when there is none on the way.
  let entryDefinition: Int
  let physical: PhysicalType
  /// Bytes of a value of fixed length; 0 for others.
  let width: Int

  package var name: String { path.joined(separator: ".") }

  package var kind: Kind {
    switch physical {
    case .boolean: .bool
    case .int32, .int64: .int
    case .float, .double: .double
    case .byteArray, .fixedLengthByteArray, .int96: .bytes
    }
  }
}

/// Flattens the schema of a footer: `SchemaElement`s in depth-first order.
struct SchemaWalk {
  private static let depthMax = 64

  private let elements: [ThriftValue]
  private let footer: ByteCursor
  private var next = 1
  private(set) var leaves: [ParquetLeaf] = []

  /// - Parameter footer: names the place in errors.
  init(_ elements: [ThriftValue], _ footer: ByteCursor) throws(WeirError) {
    self.elements = elements
    self.footer = footer
    guard let children = elements.first?[5]?.int, elements.first?[1] == nil else { throw footer.broken("the schema has no root") }
    try walk(children, Place())
    guard next == elements.count else { throw footer.broken("\(elements.count - next) elements of the schema belong to no group") }
  }

  private struct Place {
    var path: [String] = []
    var definition = 0
    var repetition = 0
    var entry = 0
  }

  private mutating func walk(_ children: Int, _ outer: Place) throws(WeirError) {
    guard outer.path.count < SchemaWalk.depthMax else { throw footer.broken("the schema is nested too deep") }
    guard children >= 0, children <= elements.count - next else { throw footer.broken("a group of \(children) fields in the schema") }
    for _ in 0..<children {
      // A group before this one may have taken the elements.
      guard next < elements.count else { throw footer.broken("the schema is cut off within a group") }
      let element = elements[next]
      next += 1
      guard let name = element[4]?.string else { throw footer.broken("a field of the schema has no name") }
      var place = outer
      place.path.append(name)
      switch element[3]?.int {
      case SchemaElement.Repetition.required.rawValue: break
      case SchemaElement.Repetition.optional.rawValue: place.definition += 1
      case SchemaElement.Repetition.repeated.rawValue:
        place.definition += 1
        place.repetition += 1
        place.entry = place.definition
      default: throw footer.broken("the field \(name) is neither required, optional nor repeated")
      }
      if let type = element[1]?.int { try add(type, element, place) } else { try walk(element[5]?.int ?? 0, place) }
    }
  }

  private mutating func add(_ type: Int, _ element: ThriftValue, _ place: Place) throws(WeirError) {
    guard let physical = PhysicalType(rawValue: type) else { throw footer.broken("\(type) is not a Parquet type") }
    let width = physical == .fixedLengthByteArray ? element[2]?.int ?? 0 : 0
    guard physical != .fixedLengthByteArray || (1...1 << 20).contains(width) else {
      throw footer.broken("values of \(width) bytes")
    }
    leaves.append(
      ParquetLeaf(
        path: place.path, maxDefinition: place.definition, maxRepetition: place.repetition, entryDefinition: place.entry,
        physical: physical, width: width))
  }
}
