import CSnappy
import CZstd
import WeirCore

/// Compresses pages. One for each writer, so that the compressor's tables are allocated once.
final class Compressor {
  let codec: Codec
  private let level: Int32
  private let context: OpaquePointer?
  /// Set when a library refused, which only lack of memory can cause: the file must not be used then.
  private(set) var failed = false

  init(codec: Codec, level: Int) {
    self.codec = codec
    self.level = Int32(level)
    context = codec == .zstd ? ZSTD_createCCtx() : nil
  }

  deinit { if let context { ZSTD_freeCCtx(context) } }

  /// Appends the compressed form of `count` bytes at `source`.
  func append(_ source: UnsafePointer<UInt8>, count: Int, to out: inout Buffer<UInt8>) {
    switch codec {
    case .none: out.append(source, count: count)
    case .snappy: appendSnappy(source, count: count, to: &out)
    case .zstd: appendZstd(source, count: count, to: &out)
    }
  }

  private func appendSnappy(_ source: UnsafePointer<UInt8>, count: Int, to out: inout Buffer<UInt8>) {
    var size = snappy_max_compressed_length(count)
    out.reserve(size)
    let status = source.withMemoryRebound(to: CChar.self, capacity: count) { from in
      out.end.withMemoryRebound(to: CChar.self, capacity: size) { snappy_compress(from, count, $0, &size) }
    }
    guard status == SNAPPY_OK else {
      failed = true
      return
    }
    out.count += size
  }

  private func appendZstd(_ source: UnsafePointer<UInt8>, count: Int, to out: inout Buffer<UInt8>) {
    let bound = ZSTD_compressBound(count)
    out.reserve(bound)
    let size = ZSTD_compressCCtx(context, out.end, bound, source, count, level)
    guard context != nil, ZSTD_isError(size) == 0 else {
      failed = true
      return
    }
    out.count += size
  }
}
