import WeirCore

/// The rows of some neighbouring blocks of a shard, lane by lane.
///
/// Few lanes read a block's columns where they are. Of hundreds of lanes each has a row here and there, and every value of it
/// would be a cache line of its own: then the columns that lanes read are put into lane order first, several blocks' together.
/// That goes over each column once while it is in the cache; a lane reads its own part from end to end, and what a visit to a lane costs
/// (its state is in no cache by then) is paid once for all of its rows. (Measured with 256 lanes: Performance.md.)
struct LaneDeal: Sendable {
  /// Lanes from which on the columns are put into lane order.
  static let arrangedFrom = 32

  /// Row numbers, lane by lane, ascending in each: as many as `bounds` say. The rows of all blocks are numbered through.
  private(set) var rows: [UInt32] = []
  /// Where each row's columns are: the row, or, in lane order, simply the next place.
  private(set) var places: [UInt32] = []
  /// By row, the place of its columns; empty if that is the row.
  private(set) var placeOfRow: [UInt32] = []
  /// Lane `n` has `bounds[n]..<bounds[n + 1]` of both.
  private var bounds: [Int]

  var isArranged: Bool { !placeOfRow.isEmpty }
  var lanes: Int { bounds.count - 1 }

  /// - Parameters:
  ///   - laneOf: of each block, the lane of each row; of one lane it does not matter.
  ///   - count: rows of all blocks.
  init(_ laneOf: [[UInt16]], count: Int, lanes: Int) {
    guard lanes > 1 else {
      rows = LaneDeal.numbers(count)
      (places, bounds) = (rows, [0, count])
      return
    }
    bounds = [Int](unsafeUninitializedCapacity: lanes + 1) { bounds, filled in
      bounds.initialize(repeating: 0)
      for block in laneOf { for lane in block { bounds[Int(lane) + 1] += 1 } }
      for lane in 0..<lanes { bounds[lane + 1] += bounds[lane] }
      filled = lanes + 1
    }
    // In lane order the places are the numbers from 0, and where each row went is kept next to them.
    placeOfRow = [UInt32](unsafeUninitializedCapacity: count) { [bounds] places, filled in
      rows = [UInt32](unsafeUninitializedCapacity: count) { rows, filled in
        withUnsafeTemporaryAllocation(of: Int.self, capacity: lanes) { next in
          for lane in 0..<lanes { next[lane] = bounds[lane] }
          var row = 0
          for block in laneOf {
            for lane in block {
              let place = next[Int(lane)]
              next[Int(lane)] = place + 1
              rows[place] = UInt32(truncatingIfNeeded: row)
              places[row] = UInt32(truncatingIfNeeded: place)
              row += 1
            }
          }
        }
        filled = count
      }
      filled = count
    }
    if lanes >= LaneDeal.arrangedFrom {
      places = LaneDeal.numbers(count)
    } else {
      (places, placeOfRow) = (rows, [])
    }
  }

  /// The numbers from 0, at least `count` of them: the same array for all blocks but those of very many records.
  private static func numbers(_ count: Int) -> [UInt32] { count <= numbers.count ? numbers : Array(0..<UInt32(count)) }
  private static let numbers = Array<UInt32>(0..<1 << 16)

  func range(_ lane: Int) -> Range<Int> { bounds[lane]..<bounds[lane + 1] }

  /// The row whose columns are at `place`.
  @inline(__always)
  func row(_ place: Int) -> Int { isArranged ? Int(rows[place]) : place }

  // MARK: Lane order

  /// A column of all blocks in lane order: read from end to end, written at as many places as there are lanes.
  func arranged<T: BitwiseCopyable>(_ blocks: [[T]]) -> [T] {
    guard blocks.contains(where: { !$0.isEmpty }) else { return [] }
    return [T](unsafeUninitializedCapacity: placeOfRow.count) { out, filled in
      var row = 0
      for block in blocks {
        for value in block {
          out[Int(placeOfRow[row])] = value
          row += 1
        }
      }
      filled = placeOfRow.count
    }
  }

  private func arranged(_ validities: [[Bool]?], _ counts: [Int]) -> [Bool]? {
    guard validities.contains(where: { $0 != nil }) else { return nil }
    return arranged(zip(validities, counts).map { $0 ?? [Bool](repeating: true, count: $1) })
  }

  private func arranged(_ columns: [Column]) -> Column {
    func all<T: BitwiseCopyable>(_ values: (Column.Values) -> [T]?) -> [T] { arranged(columns.map { values($0.values) ?? [] }) }
    let values: Column.Values =
      switch columns[0].values {
      case .bool: .bool(all { if case .bool(let v) = $0 { v } else { nil } })
      case .int64: .int64(all { if case .int64(let v) = $0 { v } else { nil } })
      case .double: .double(all { if case .double(let v) = $0 { v } else { nil } })
      case .decimal: .decimal(all { if case .decimal(let v) = $0 { v } else { nil } })
      case .string: .string(all { if case .string(let v) = $0 { v } else { nil } })
      }
    return Column(
      type: columns[0].type, values: values, validity: arranged(columns.map(\.validity), columns.map(\.count)),
      owners: columns.flatMap(\.owners))
  }

  /// What lanes read of every record of `blocks`, in lane order. The rest is left out.
  func arranged(_ blocks: [LaneColumns]) -> LaneColumns {
    let needsTime = blocks[0].aggregates.contains(where: \.isFinishedInLane)
    var all = LaneColumns(verdict: arranged(blocks.map(\.verdict)), time: needsTime ? arranged(blocks.map(\.time)) : [])
    all.ids = arranged(blocks.map(\.ids))
    all.hasID = arranged(blocks.map(\.hasID), blocks.map(\.verdict.count))
    all.watermark = arranged(blocks.map(\.watermark))
    all.aggregates = blocks[0].aggregates.indices.map { i in
      guard blocks[0].aggregates[i].isFinishedInLane else { return .init(isFinishedInLane: false, hashes: [], arguments: []) }
      let parts = blocks.map { $0.aggregates[i] }
      return LaneColumns.Aggregate(
        isFinishedInLane: true, mask: parts[0].mask == nil ? nil : arranged(parts.map { $0.mask ?? [] }),
        hashes: arranged(parts.map(\.hashes)),
        arguments: parts[0].arguments.indices.map { number in
          parts[0].arguments[number] == nil ? nil : arranged(parts.compactMap { $0.arguments[number] })
        })
    }
    return all
  }
}
