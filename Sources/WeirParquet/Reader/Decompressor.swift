import CSnappy
import CZlib
import CZstd
import WeirCore

/// Undoes the compression of one page. Bytes that are no page, or one of another size, are refused.
///
/// - Parameters:
///   - codec: `CompressionCodec` of parquet.thrift: 0 none, 1 snappy, 2 gzip, 6 zstd; others are refused.
///   - size: the bytes that must come out.
///   - page: the file's offset of the page, for errors.
func decompress(_ part: ByteCursor, codec: Int, size: Int, page: Int) throws(WeirError) -> ByteCursor {
  // Pages of nulls alone may have no bytes at all.
  if codec == 0 || part.left == 0 {
    guard part.left == size else { throw part.broken("a page of \(part.left) bytes claims to have \(size)") }
    return part
  }
  let source = part.bytes[part.at..<part.end]
  let wanted: (UnsafeBufferPointer<UInt8>, UnsafeMutableBufferPointer<UInt8>) -> Bool
  switch codec {
  case 1: wanted = unpackSnappy
  case 2: wanted = unpackGzip
  case 6: wanted = unpackZstd
  default:
    throw WeirError(
      .corrupt, "the Parquet file \(part.place.file) uses compression \(codec), which is not read",
      advice: "Weir reads files without compression, and with snappy, gzip or zstd.")
  }
  var isRight = false
  // One byte more than needed, so that there is an address even for nothing.
  let out = [UInt8](unsafeUninitializedCapacity: size + 1) { buffer, count in
    isRight = source.withUnsafeBufferPointer { wanted($0, UnsafeMutableBufferPointer(rebasing: buffer[..<size])) }
    count = isRight ? size : 0
  }
  guard isRight else { throw part.broken("its bytes do not decompress to \(size)") }
  return ByteCursor(out, BytePlace(file: part.place.file, page: page))
}

private func unpackSnappy(_ source: UnsafeBufferPointer<UInt8>, _ out: UnsafeMutableBufferPointer<UInt8>) -> Bool {
  guard let from = source.baseAddress, let to = out.baseAddress else { return false }
  return from.withMemoryRebound(to: CChar.self, capacity: source.count) { from in
    to.withMemoryRebound(to: CChar.self, capacity: out.count) { to in
      var size = 0
      guard snappy_uncompressed_length(from, source.count, &size) == SNAPPY_OK, size == out.count else { return false }
      return snappy_uncompress(from, source.count, to, &size) == SNAPPY_OK && size == out.count
    }
  }
}

private func unpackZstd(_ source: UnsafeBufferPointer<UInt8>, _ out: UnsafeMutableBufferPointer<UInt8>) -> Bool {
  let size = ZSTD_decompress(out.baseAddress, out.count, source.baseAddress, source.count)
  return ZSTD_isError(size) == 0 && size == out.count
}

/// Any number of gzip members.
private func unpackGzip(_ source: UnsafeBufferPointer<UInt8>, _ out: UnsafeMutableBufferPointer<UInt8>) -> Bool {
  guard let from = source.baseAddress, let to = out.baseAddress, let inSize = UInt32(exactly: source.count),
    let outSize = UInt32(exactly: out.count)
  else { return false }
  // zlib keeps the stream's address: it must not move.
  let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
  stream.initialize(to: z_stream())
  defer { stream.deallocate() }
  guard inflateInit2_(stream, 15 + 32, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return false }
  defer { inflateEnd(stream) }
  stream.pointee.next_in = UnsafeMutablePointer(mutating: from)
  stream.pointee.avail_in = inSize
  stream.pointee.next_out = to
  stream.pointee.avail_out = outSize
  while true {
    guard inflate(stream, Z_FINISH) == Z_STREAM_END else { return false }
    if stream.pointee.avail_in == 0 { return stream.pointee.avail_out == 0 }
    guard inflateReset(stream) == Z_OK else { return false }
  }
}
