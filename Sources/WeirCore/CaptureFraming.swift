/// Where records are in the bytes of a plain capture whose records are not lines.
///
/// Stateless: what is a record depends on the bytes of its file from the end of the record before on, and on the last byte before them
/// that is not white space. So a run that starts at the end of a record finds the same records.
public protocol CaptureFraming: Sendable {
  /// Finds the records at the beginning of a text, in order.
  func frames(_ text: FramedText) -> RecordFrames
}

/// Bytes of one file from the end of a record on.
public struct FramedText {
  /// ``TextBuffer/slack`` bytes after the text can be read.
  public var base: UnsafePointer<UInt8>
  public var count: Int
  /// The file ends at `count`, and so does a record that has begun. Otherwise more bytes follow, or may follow later.
  public var isEnd: Bool
  /// No more bytes can be shown together with these: a record that needs more is too long.
  public var isFull: Bool
  /// The last byte before the text that is not white space; nil: the text begins with the file.
  public var previous: UInt8?
  /// The first byte of the file that is not white space, if it is before the text.
  public var first: UInt8?
  /// Records at most.
  public var rowsMax: Int
  /// The record that ends at or after this byte is the last one.
  public var stop: Int

  public init(
    base: UnsafePointer<UInt8>, count: Int, isEnd: Bool, isFull: Bool = false, previous: UInt8?, first: UInt8? = nil, rowsMax: Int,
    stop: Int
  ) {
    (self.base, self.count, self.isEnd, self.isFull) = (base, count, isEnd, isFull)
    (self.previous, self.first, self.rowsMax, self.stop) = (previous, first, rowsMax, stop)
  }
}

/// The records at the beginning of a text.
public struct RecordFrames {
  /// Record `i` is `length[i]` bytes from `offset[i]`.
  public var offset: [UInt32] = []
  public var length: [UInt32] = []
  /// Bytes that are used up: to the end of the last record with what separates it from the next, or of the file. 0: the text has no whole
  /// record. Without a record: of a text that is full, what is before its first record.
  public var end = 0
  /// The file ends inside a structure that holds records, all of which are whole: what is missing; nil: it does not.
  public var unended: String?
  /// What the file holds instead of such a structure, and what to do; nil: it is as the framing expects, or has no record.
  public var other: String?

  public init() {}
}
