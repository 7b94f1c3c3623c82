/// FNV-1a, 32 bit, as librdkafka and Sarama use it: the absolute value of the signed result.
package enum FNV1a {
  package static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
    var value: UInt32 = 0x811C_9DC5
    for byte in bytes { value = (value ^ UInt32(byte)) &* 0x0100_0193 }
    return Int32(bitPattern: value).magnitude
  }
}
