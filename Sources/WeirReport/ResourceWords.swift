/// Each data file costs a file to sync, lines in the ledger and in the table's log, and readers an open.
enum ManyFiles {
  /// More files in one entry get a warning.
  private static let max = 1000

  static func isTooMany(_ files: Int) -> Bool { files > max }

  static func words(_ files: Int) -> String {
    "an epoch made \(files) data files: each value that a table is partitioned by has a file of its own in each epoch.\n  This is slow to write and to read: partition (partition_by) by something with fewer values, such as day(...)."
  }
}

enum MemoryWords {
  static func over(_ peak: Int64, of budget: Int64) -> String {
    "the worker took \(Human.bytes(peak)) of memory, more than its budget of \(Human.bytes(budget)) (worker.memory).\n  Keep the container's limit above that, or raise worker.memory."
  }
}
