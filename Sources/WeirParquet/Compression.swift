import CSnappy
import CZstd
import WeirCore

/// Compresses pages. Lent by a ``ParquetWorkbench``, so that tables and scratch memory are allocated once.
final class Compressor: @unchecked Sendable {
  // Unchecked: one borrower at a time.
  let codec: Codec
  /// The page that is being put together: it is in use only while one is closed.
  var raw = Buffer<UInt8>(capacity: 4096)
  /// `raw` compressed.
  private(set) var packed = Buffer<UInt8>(capacity: 4096)
  private let level: Int32
  private let context: OpaquePointer?
  /// Set when a library refused, which only lack of memory can cause: the files in work must not be used then.
  private(set) var failed = false

  init(codec: Codec, level: Int) {
    self.codec = codec
    self.level = Int32(level)
    context = codec == .zstd ? ZSTD_createCCtx() : nil
  }

  deinit { if let context { ZSTD_freeCCtx(context) } }

  /// Makes `packed` of `raw`.
  func compress() {
    packed.removeAll()
    switch codec {
    case .none: packed.append(raw.base, count: raw.count)
    case .snappy: appendSnappy(raw.base, count: raw.count, to: &packed)
    case .zstd: appendZstd(raw.base, count: raw.count, to: &packed)
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
