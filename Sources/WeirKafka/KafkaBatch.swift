import WeirCore

/// Records for one topic, in one buffer: what a producer sends at once.
///
/// Fill it, send it, ``removeAll()``, fill it again: its memory is kept.
package struct KafkaBatch: Sendable {
  /// Where the parts of one record are in ``bytes``.
  struct Record: Sendable {
    /// -1: by the key.
    var partition: Int32
    /// UTC milliseconds since 1970; 0: the time of sending.
    var timestamp: Int64
    var start: Int
    /// -1: no key.
    var keyLength: Int
    /// -1: no value, a tombstone.
    var valueLength: Int
    /// Behind the last header of this record, in ``headers``.
    var headerEnd: Int
  }

  /// Is in ``bytes`` after the value, name first.
  struct Header: Sendable {
    var name: String
    var start: Int
    /// -1: null.
    var length: Int
  }

  package let topic: String
  var bytes: [UInt8] = []
  var records: [Record] = []
  var headers: [Header] = []
  /// Some record has a time or headers of its own.
  var isRich = false

  package init(topic: String) { self.topic = topic }

  package var count: Int { records.count }
  package var byteCount: Int { bytes.count }

  /// - Parameters:
  ///   - key: nil for none.
  ///   - value: nil for a tombstone.
  ///   - partition: nil for the one that the producer's partitioner chooses by the key.
  ///   - timestamp: UTC milliseconds since 1970; nil for the time of sending.
  package mutating func append(
    key: [UInt8]?, value: [UInt8]?, headers: [(name: String, value: [UInt8]?)] = [], partition: Int? = nil,
    timestamp: Int64? = nil
  ) {
    key.withBytes { key in
      value.withBytes { value in append(key: key, value: value, partition: partition, timestamp: timestamp) }
    }
    for header in headers { append(header.name, header.value) }
    records[records.count - 1].headerEnd = self.headers.count
  }

  /// The same without headers, from memory.
  package mutating func append(
    key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, partition: Int? = nil, timestamp: Int64? = nil
  ) {
    records.append(
      Record(
        partition: partition.map(Int32.init) ?? -1, timestamp: timestamp ?? 0, start: bytes.count,
        keyLength: key?.count ?? -1, valueLength: value?.count ?? -1, headerEnd: headers.count))
    if let key { bytes.append(contentsOf: key) }
    if let value { bytes.append(contentsOf: value) }
    if timestamp != nil { isRich = true }
  }

  private mutating func append(_ name: String, _ value: [UInt8]?) {
    headers.append(Header(name: name, start: bytes.count, length: value?.count ?? -1))
    if let value { bytes += value }
    isRich = true
  }

  package mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    records.removeAll(keepingCapacity: true)
    headers.removeAll(keepingCapacity: true)
    isRich = false
  }
}

extension [UInt8]? {
  /// The array's memory; nil for nil.
  fileprivate func withBytes(_ body: (UnsafeRawBufferPointer?) -> Void) {
    if let self { self.withUnsafeBytes { body($0) } } else { body(nil) }
  }
}
