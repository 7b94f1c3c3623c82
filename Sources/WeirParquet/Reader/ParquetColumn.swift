import WeirCore

/// One column of one row group.
///
/// Its entries are the rows for a column in no list or map; else what the lists or maps hold, and ``entries(ofRow:)`` says
/// which belong to a row. A list in a list is flattened.
package struct ParquetColumn: Sendable {
  package let leaf: ParquetLeaf
  package private(set) var rows = 0
  private var values = ParquetValues()
  /// For each entry its value's index, -1 for a null.
  private var places: [Int32] = []
  /// The first entry of each row; empty for a column in no list or map.
  private var starts: [Int32] = []
  private var valueCount: Int32 = 0

  /// Reads a chunk.
  init(_ chunk: ChunkPlace, rows: Int, file: ByteCursor) throws(WeirError) {
    leaf = chunk.leaf
    var file = file
    if !chunk.bytes.isEmpty { try file.skip(chunk.bytes.lowerBound - file.place.first) }
    var pages = try file.part(chunk.bytes.count)
    var dictionary: ParquetValues?
    var left = chunk.values
    while left > 0 {
      guard pages.left > 0 else { throw pages.broken("the column chunk of \(leaf.name) is \(left) values too short") }
      let page = try Page(&pages, leaf, codec: chunk.codec)
      switch page.kind {
      case .other: continue
      case .dictionary:
        guard dictionary == nil else { throw pages.broken("a second dictionary in the column chunk of \(leaf.name)") }
        var own = ParquetValues()
        try own.append(page.body, leaf, Encoding.plain.rawValue, count: page.values)
        dictionary = values.adopt(own)
      case .data:
        guard page.values <= left else { throw pages.broken("more values than the column chunk of \(leaf.name) has") }
        left -= page.values
        try append(page, dictionary)
      }
    }
    guard self.rows == rows else { throw pages.broken("the column chunk of \(leaf.name) has \(self.rows) rows instead of \(rows)") }
  }

  private mutating func append(_ page: Page, _ dictionary: ParquetValues?) throws(WeirError) {
    let definitions = try levels(page.definitions, max: leaf.maxDefinition, count: page.values)
    let repetitions = try levels(page.repetitions, max: leaf.maxRepetition, count: page.values)
    let present = definitions.map { $0.count { $0 == leaf.maxDefinition } } ?? page.values
    try place(definitions, repetitions, count: page.values, page.body)
    guard present > 0 else { return }
    let encoding = Encoding(rawValue: page.encoding)
    if encoding == .rleDictionary || encoding == .plainDictionary {
      guard let dictionary else { throw page.body.broken("the column chunk of \(leaf.name) has no dictionary for its indices") }
      try values.append(page.body, dictionary: dictionary, leaf, count: present)
    } else {
      try values.append(page.body, leaf, page.encoding, count: present)
    }
  }

  /// Nil when all are `max`, because that is 0.
  private func levels(_ part: ByteCursor?, max: Int, count: Int) throws(WeirError) -> [UInt8]? {
    guard var part, count > 0 else { return nil }
    let levels = try part.hybrid(UInt8.self, width: bitWidth(UInt64(max)), count: count)
    // Bytes after the last level: the levels were written for another schema.
    guard part.left == 0 else { throw part.broken("\(part.left) bytes after the levels") }
    guard levels.allSatisfy({ $0 <= max }) else { throw part.broken("a level above \(max)") }
    return levels
  }

  /// Makes entries and rows of a page's levels.
  private mutating func place(
    _ definitions: [UInt8]?, _ repetitions: [UInt8]?, count: Int, _ page: ByteCursor
  ) throws(WeirError) {
    for i in 0..<count {
      let definition = definitions.map { Int($0[i]) } ?? leaf.maxDefinition
      if repetitions.map({ $0[i] == 0 }) ?? true {
        rows += 1
        if leaf.maxRepetition > 0 { starts.append(Int32(places.count)) }
      } else if rows == 0 {
        throw page.broken("the column chunk of \(leaf.name) does not begin with a row")
      }
      // Below this the list itself is empty or not there.
      guard definition >= leaf.entryDefinition else { continue }
      if definition == leaf.maxDefinition {
        places.append(valueCount)
        valueCount += 1
      } else {
        places.append(-1)
      }
    }
  }

  // MARK: Values

  /// The entries of a row: itself for a column in no list or map.
  package func entries(ofRow row: Int) -> Range<Int> {
    if leaf.maxRepetition == 0 { return row..<row + 1 }
    return Int(starts[row])..<(row + 1 < starts.count ? Int(starts[row + 1]) : places.count)
  }

  private func place(_ entry: Int, _ kind: ParquetLeaf.Kind) -> Int? {
    guard leaf.kind == kind, places[entry] >= 0 else { return nil }
    return Int(places[entry])
  }

  /// Nil for a null, and for a column of another kind; the same holds for the others.
  package func bool(_ entry: Int) -> Bool? { place(entry, .bool).map { values.bools[$0] } }

  package func int(_ entry: Int) -> Int64? { place(entry, .int).map { values.ints[$0] } }

  package func double(_ entry: Int) -> Double? { place(entry, .double).map { values.doubles[$0] } }

  package func bytes(_ entry: Int) -> ArraySlice<UInt8>? {
    place(entry, .bytes).map { place in
      let slice = values.slices[place]
      return values.bytes[slice.start..<slice.start + slice.count]
    }
  }
}
