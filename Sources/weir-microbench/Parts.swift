import CLMDB
import CWeirScan
import CZstd
import Glibc
import WeirCore
import WeirLMDB
import WeirLocal
import WeirOperators
import WeirParquet
import WeirTesting

/// The parts, each behind the limit that it is held against.
struct Parts {
  let bench: Bench
  let events: AdEvents
  let decoded: [DecodedBlock]
  /// A directory that may be written to.
  let directory: String
  let dedupIDs: Int

  // MARK: Reading

  func decoding() {
    let copies = bench.blocksOf(events)
    bench.measure("limit", "memcpy of the text", events.bytes, "B/s") {
      for (from, to) in zip(events.blocks, copies) { memcpy(to, from.text.base, from.count) }
    }
    for copy in copies { copy.deallocate() }
    let scan = bench.measure("limit", "newline scan (memchr)", events.bytes, "B/s") {
      var lines = 0
      for block in events.blocks {
        let end = UnsafePointer(block.text.base + block.count)
        var at = UnsafePointer(block.text.base)
        while at < end {
          at = weir_find_newline(at, end)! + 1
          lines += 1
        }
      }
      keep(lines)
    }
    func decode(_ what: String, _ fields: [Field]) {
      let decoder = RecordDecoder(fields: fields)
      bench.measure("decode", what, events.bytes, "B/s", limit: scan) {
        for block in events.blocks { keep(decoder.decode(block).count) }
      }
    }
    decode("all 8 fields", AdEvents.fields)
    let used = ["event_id", "user_id", "ad_id", "event_type", "event_time", "amount"]
    decode("the 6 that q1 uses", AdEvents.fields.filter { used.contains($0.name) })
    decode("1 field (event_time)", AdEvents.fields.filter { $0.name == "event_time" })
  }

  // MARK: Expressions

  func expressions() {
    let rows = decoded.reduce(0) { $0 + $1.count }
    // The least that the filter must do: look at every row's reference and at its bytes.
    let touch = bench.measure("limit", "length and first byte of a string column", rows, "rows/s") {
      var n = 0
      for block in decoded {
        guard case .string(let values) = block.columns[4].values else { continue }
        for value in values where value.count == 4 && value.start[0] == 0x76 { n += 1 }
      }
      keep(n)
    }
    for text in ["event_type = 'view'", "event_type in ('view', 'click', 'purchase')", "amount > 50 and event_type <> 'click'"] {
      guard let expression = try? compileExpression(text, inputs: AdEvents.inputs) else {
        stop("the expression \(text) does not compile", "Has the language changed? Change Parts.swift too.")
      }
      let evaluator = ExprEvaluator(expression)
      bench.measure("expression", text, rows, "rows/s", limit: touch) {
        for block in decoded { keep(evaluator.rows(thatAre: true, block.columns, count: block.count).rows.count) }
      }
    }
  }

  // MARK: Dedup

  func dedup() {
    let n = dedupIDs
    var size = 1024
    while size < n * 2 { size *= 2 }
    // The least that an index must do: one store at a place that no cache foresees, in a table of this size.
    let store = bench.measure(
      "limit", "random 8-byte load and store in \((size * 8) >> 20) MiB", n, "ids/s",
      prepare: {
        let table = UnsafeMutablePointer<UInt64>.allocate(capacity: size)
        table.initialize(repeating: 0, count: size)
        return table
      }
    ) { table in
      var random = SplitMix64(seed: 1)
      for _ in 0..<n {
        let value = random.next()
        table[Int(truncatingIfNeeded: value) & (size - 1)] &+= value | 1
      }
      table.deallocate()
    }
    func insert(_ index: DedupIndex, perMark: Int) {
      var random = SplitMix64(seed: 1)
      var fresh = 0
      for i in 0..<n where index.insert(Hash128(low: random.next(), high: random.next()), watermark: Int64(i / perMark)) {
        fresh += 1
      }
      keep(fresh)
    }
    bench.measure("dedup", "new ids, none expires", n, "ids/s", limit: store, prepare: { DedupIndex(withinMicroseconds: nil) }) {
      insert($0, perMark: 100)
    }
    bench.measure(
      "dedup", "new ids, a tenth of them live", n, "ids/s", limit: store,
      prepare: { DedupIndex(withinMicroseconds: Int64(n / 1000)) }
    ) { insert($0, perMark: 100) }
  }

  /// Bytes an id: the peak of the process's memory while the index grows, before anything else has used any.
  static func dedupMemory(ids: Int) -> Double {
    Memory.resetPeak()
    let before = Memory.resident()
    let index = DedupIndex(withinMicroseconds: nil)
    var random = SplitMix64(seed: 1)
    for _ in 0..<ids { _ = index.insert(Hash128(low: random.next(), high: random.next()), watermark: 0) }
    keep(index.count)
    return Double(Memory.peak() - before) / Double(ids)
  }

  // MARK: Windows

  func windows() {
    let rows = decoded.reduce(0) { $0 + $1.count }
    let groups = 100
    let amount = Expr(node: .column(7), type: .decimal(precision: 12, scale: 2), text: "amount")
    let layout = AggregateLayout([
      Measure(name: "cnt", function: .count, argument: nil, type: .int64),
      Measure(name: "total", function: .sum, argument: amount, type: .decimal(precision: 38, scale: 2)),
    ])
    struct Input {
      var rows: [UInt32]
      var times: [Int64]
      var marks: [Int64]
      var hashes: [Hash128]
      var group: [Int]
      var amounts: Column
    }
    let inputs = decoded.map { block in
      let accepted = (0..<block.count).filter { block.valid[$0] }.map { UInt32($0) }
      var times = [Int64](repeating: 0, count: block.count)
      if case .int64(let values) = block.columns[5].values { times = values }
      var group = [Int](repeating: 0, count: block.count)
      if case .string(let ads) = block.columns[2].values {
        for i in 0..<block.count { group[i] = Int(Hash128(ads[i]).low % UInt64(groups)) }
      }
      let hashes = group.map { g in withUnsafeBytes(of: g) { Hash128($0) } }
      return Input(
        rows: accepted, times: times, marks: [Int64](repeating: Watermark.minimum, count: block.count), hashes: hashes,
        group: group, amounts: block.columns[7])
    }
    let least = bench.measure("limit", "flat array of sums by group and pane", rows, "rows/s") {
      var cells = [(n: Int64, sum: Int128)](repeating: (0, 0), count: groups * 4096)
      for input in inputs {
        guard case .decimal(let amounts) = input.amounts.values else { continue }
        for row in input.rows {
          let at = Int(row)
          let cell = input.group[at] * 4096 + Int(input.times[at] / 10_000_000) & 4095
          cells[cell].n += 1
          cells[cell].sum += amounts[at]
        }
      }
      keep(Int(cells[0].n))
    }
    for (what, spec) in [
      ("tumbling 10 s, 100 groups", WindowSpec(size: 10_000_000, slide: 10_000_000)),
      ("hopping 60 s every 1 s, 100 groups", WindowSpec(size: 60_000_000, slide: 1_000_000)),
    ] {
      bench.measure("windows", what, rows, "rows/s", limit: least) {
        let store = WindowStore(spec, layout: layout)
        var counts = WindowCounts()
        var late: [LateRow] = []
        for input in inputs {
          input.rows.withUnsafeBufferPointer {
            store.update(
              rows: $0, times: input.times, watermarks: input.marks, hashes: input.hashes,
              arguments: [nil, input.amounts], key: { StateKey.encode([.int64(Int64(input.group[$0]))]) }, counts: &counts, late: &late)
          }
        }
        keep(store.finish(watermark: Watermark.maximum).count)
      }
    }
  }

  // MARK: Parquet

  func parquet() {
    // What a writer has to do at the least, without any encoding: copy the values, and compress them.
    let pages = plainPages()
    let room = ZSTD_compressBound(1 << 20)
    let out = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 16)
    defer { out.deallocate() }
    let copy = bench.measure("limit", "memcpy of the plain values", events.bytes, "B/s") {
      for page in pages { page.withUnsafeBytes { _ = memcpy(out, $0.baseAddress!, $0.count) } }
    }
    let level1 = bench.measure("limit", "zstd level 1 of the plain values", events.bytes, "B/s") {
      var total = 0
      for page in pages { total += page.withUnsafeBytes { ZSTD_compress(out, room, $0.baseAddress, $0.count, 1) } }
      keep(total)
    }
    let schema = AdEvents.fields.map { ColumnSchema($0.name, $0.type) }
    let picked = decoded.map { block in (block.columns, (0..<block.count).filter { block.valid[$0] }.map { UInt32($0) }) }
    for codec in [Codec.zstd, .snappy, .none] {
      bench.measure("parquet", "8 columns, \(codec.rawValue)", events.bytes, "B/s", limit: codec == .zstd ? level1 : copy) {
        var writer = ParquetWriter(columns: schema, options: ParquetOptions(codec: codec))
        for (columns, rows) in picked { writer.append(columns, rows: rows) }
        guard let file = try? writer.finish() else { stop("Parquet was not written", "Do the columns have nulls now?") }
        keep(file.bytes.count)
      }
    }
  }

  /// The values of each column one behind the other, cut in pages of 1 MiB at most.
  private func plainPages() -> [[UInt8]] {
    var pages: [[UInt8]] = []
    for column in AdEvents.fields.indices {
      var page: [UInt8] = []
      page.reserveCapacity(1 << 20)
      func take(_ bytes: UnsafeRawBufferPointer) {
        if page.count + bytes.count > 1 << 20 {
          pages.append(page)
          page.removeAll(keepingCapacity: true)
        }
        page.append(contentsOf: bytes)
      }
      for block in decoded {
        switch block.columns[column].values {
        case .string(let values): for value in values { take(UnsafeRawBufferPointer(value.bytes)) }
        case .int64(let values): for value in values { withUnsafeBytes(of: value) { take($0) } }
        // A decimal of 12 digits takes 8 bytes.
        case .decimal(let values): for value in values { withUnsafeBytes(of: Int64(truncatingIfNeeded: value)) { take($0) } }
        case .double(let values): for value in values { withUnsafeBytes(of: value) { take($0) } }
        case .bool(let values): for value in values { withUnsafeBytes(of: value) { take($0) } }
        }
      }
      pages.append(page)
    }
    return pages
  }

  // MARK: LMDB

  func lmdb(rows n: Int) async throws {
    let key = { (i: Int) in "u\(i)" }
    let value = StateValue.encode([.int64(123_456), .decimal(123_456_789, precision: 38, scale: 2), .int64(1_767_225_600_000)])
    let order = (0..<n).map(key).sorted()
    let plain = directory + "/lmdb-plain"
    let least = try await bench.measureAsync("limit", "mdb_put in the keys' order, one transaction, no sync", n, "rows/s") {
      try remove(plain)
      return rawPuts(plain, order, value)
    }
    try remove(plain)
    let table = directory + "/lmdb-table"
    let sorted = order.map { StateKey.encode([.string($0)]) }
    // The store grows its map while it writes: that belongs to it.
    func write(_ what: String, fresh: Bool, chunk: Int) async throws {
      var position: Int64 = 1
      try await bench.measureAsync("lmdb", what, n, "rows/s", limit: least) {
        if fresh { try remove(table) }
        let threads = BlockingThreads(count: 1)
        let store = try LMDBStateTable(path: table, thread: threads)
        position += 1
        let batches = stride(from: 0, to: n, by: chunk).map { at in
          var batch = StateBatch(table: "user_totals", lane: "0", fence: Fence(generation: 1, position: position))
          for key in sorted[at..<min(n, at + chunk)] { batch.append(key: key[...]) { out in value.withUnsafeBytes { out.write(raw: $0) } } }
          return batch
        }
        let start = Bench.now()
        for batch in batches { try await store.write(StateWrite([batch], meta: [], owners: [])) }
        let seconds = Bench.now() - start
        threads.stop()
        return seconds
      }
    }
    try await write("new rows, 10,000 a transaction", fresh: true, chunk: 10_000)
    try await write("rows written over, 10,000 a transaction", fresh: false, chunk: 10_000)
    try remove(table)
  }

  private func rawPuts(_ path: String, _ keys: [String], _ value: [UInt8]) -> Double {
    mkdir(path, 0o777)
    var environment: OpaquePointer?
    mdb_env_create(&environment)
    mdb_env_set_mapsize(environment, 1 << 30)
    guard mdb_env_open(environment, path, UInt32(MDB_NOSYNC), 0o666) == 0 else {
      stop("LMDB does not open \(path)", "Is it on a file system that can be mapped?")
    }
    var transaction: OpaquePointer?
    var database: MDB_dbi = 0
    let bytes = keys.map { Array("user_totals\u{0}\($0)".utf8) }
    let start = Bench.now()
    mdb_txn_begin(environment, nil, 0, &transaction)
    mdb_dbi_open(transaction, nil, 0, &database)
    for key in bytes {
      key.withUnsafeBytes { k in
        value.withUnsafeBytes { v in
          var mdbKey = MDB_val(mv_size: k.count, mv_data: UnsafeMutableRawPointer(mutating: k.baseAddress))
          var mdbValue = MDB_val(mv_size: v.count, mv_data: UnsafeMutableRawPointer(mutating: v.baseAddress))
          if mdb_put(transaction, database, &mdbKey, &mdbValue, 0) != 0 { stop("mdb_put failed", "Is the disk full?") }
        }
      }
    }
    if mdb_txn_commit(transaction) != 0 { stop("LMDB did not commit", "Is the disk full?") }
    let seconds = Bench.now() - start
    mdb_env_close(environment)
    return seconds
  }

  private func remove(_ path: String) throws {
    for name in ["data.mdb", "lock.mdb"] { unlink(path + "/" + name) }
    rmdir(path)
  }

  // MARK: The disk

  func disk() {
    let path = directory + "/disk"
    let size = 64 << 20
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)
    defer { bytes.deallocate() }
    memset(bytes, 0x5A, size)
    func open() -> Int32 {
      unlink(path)
      let file = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o666)
      guard file >= 0 else { stop("\(path) cannot be written", "Give another directory with --directory") }
      return file
    }
    func all(_ file: Int32, _ count: Int) {
      var done = 0
      while done < count {
        let n = write(file, bytes + done, count - done)
        guard n > 0 else { stop("\(path) cannot be written", "Is the disk full?") }
        done += n
      }
    }
    bench.measure("limit", "write of 64 MiB with fsync", size, "B/s", prepare: open) { file in
      all(file, size)
      fsync(file)
      close(file)
    }
    let syncs = 50
    bench.measure("limit", "4 KiB append with fsync", syncs, "fsync/s", prepare: open) { file in
      for _ in 0..<syncs {
        all(file, 4096)
        fsync(file)
      }
      close(file)
    }
    unlink(path)
  }
}

extension Bench {
  /// Room for a copy of each block.
  func blocksOf(_ events: AdEvents) -> [UnsafeMutablePointer<UInt8>] {
    events.blocks.map { UnsafeMutablePointer<UInt8>.allocate(capacity: $0.count) }
  }
}
