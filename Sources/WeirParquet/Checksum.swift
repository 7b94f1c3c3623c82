import CZlib

/// CRC-32 of a page's bytes as they are in the file: `PageHeader.crc`.
func pageChecksum(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
  // A page is smaller than the 4 GiB that zlib takes at a time.
  UInt32(truncatingIfNeeded: crc32(0, bytes.baseAddress, UInt32(truncatingIfNeeded: bytes.count)))
}
