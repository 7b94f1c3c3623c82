import CKafka

/// The two ways of a batch into librdkafka. Both return how many records were taken and why not more.
extension KafkaProducer {
  /// Records without headers and times of their own: the fast way, many in one call.
  func sendPlain(_ batch: KafkaBatch, _ range: Range<Int>, _ topic: Topic) -> (taken: Int, code: rd_kafka_resp_err_t) {
    batch.bytes.withUnsafeBytes { bytes in
      withUnsafeTemporaryAllocation(of: rd_kafka_message_t.self, capacity: min(range.count, KafkaProducer.chunk)) {
        messages in
        var taken = 0
        while taken < range.count {
          let count = min(range.count - taken, messages.count)
          for index in 0..<count {
            let record = batch.records[range.lowerBound + taken + index]
            (messages.baseAddress! + index).initialize(to: KafkaProducer.message(record, bytes))
          }
          let good = Int(
            rd_kafka_produce_batch(
              topic.pointer, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_PARTITION,
              messages.baseAddress, Int32(count)))
          guard good == count else { return KafkaProducer.firstError(messages, count, taken) }
          taken += count
        }
        return (taken, RD_KAFKA_RESP_ERR_NO_ERROR)
      }
    }
  }

  private static let chunk = 4096

  /// A full buffer refuses all records from one on; so does a broken producer. A record refused for itself (its size)
  /// lets later ones through: these must not be sent again, so such a batch is cut after the last that was taken, and
  /// the error is thrown.
  private static func firstError(
    _ messages: UnsafeMutableBufferPointer<rd_kafka_message_t>, _ count: Int, _ before: Int
  ) -> (taken: Int, code: rd_kafka_resp_err_t) {
    let first = (0..<count).first { messages[$0].err != RD_KAFKA_RESP_ERR_NO_ERROR } ?? count
    let good = (0..<count).count { messages[$0].err == RD_KAFKA_RESP_ERR_NO_ERROR }
    return (before + good, first < count ? messages[first].err : RD_KAFKA_RESP_ERR_NO_ERROR)
  }

  private static func message(_ record: KafkaBatch.Record, _ bytes: UnsafeRawBufferPointer) -> rd_kafka_message_t {
    var message = rd_kafka_message_t()
    let keyLength = max(0, record.keyLength)
    message.partition = record.partition
    if record.keyLength >= 0 {
      message.key = KafkaProducer.pointer(bytes, record.start)
      message.key_len = keyLength
    }
    if record.valueLength >= 0 {
      message.payload = KafkaProducer.pointer(bytes, record.start + keyLength)
      message.len = record.valueLength
    }
    return message
  }

  /// Never nil: nil is null to librdkafka, and an empty value is none.
  private static func pointer(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UnsafeMutableRawPointer {
    guard let base = bytes.baseAddress else { return UnsafeMutableRawPointer(bitPattern: 1)! }
    return UnsafeMutableRawPointer(mutating: base + offset)
  }

  /// Records with headers or times of their own: one by one.
  func sendRich(_ batch: KafkaBatch, _ range: Range<Int>, _ topic: Topic) -> (taken: Int, code: rd_kafka_resp_err_t) {
    batch.bytes.withUnsafeBytes { bytes in
      for index in range {
        let record = batch.records[index]
        let first = index == 0 ? 0 : batch.records[index - 1].headerEnd
        let headers = KafkaProducer.headers(batch.headers[first..<record.headerEnd], bytes)
        let code = KafkaProducer.produce(client.handle, topic, record, bytes, headers)
        if code != RD_KAFKA_RESP_ERR_NO_ERROR {
          if let headers { rd_kafka_headers_destroy(headers) }
          return (index - range.lowerBound, code)
        }
      }
      return (range.count, RD_KAFKA_RESP_ERR_NO_ERROR)
    }
  }

  private static func produce(
    _ client: OpaquePointer, _ topic: Topic, _ record: KafkaBatch.Record, _ bytes: UnsafeRawBufferPointer,
    _ headers: OpaquePointer?
  ) -> rd_kafka_resp_err_t {
    let key = record.keyLength < 0 ? nil : pointer(bytes, record.start)
    let value = record.valueLength < 0 ? nil : pointer(bytes, record.start + max(0, record.keyLength))
    return weir_kafka_produce(
      client, topic.pointer, record.partition, key, max(0, record.keyLength), value, max(0, record.valueLength),
      record.timestamp, headers)
  }

  private static func headers(_ headers: ArraySlice<KafkaBatch.Header>, _ bytes: UnsafeRawBufferPointer) -> OpaquePointer? {
    if headers.isEmpty { return nil }
    let list = rd_kafka_headers_new(headers.count)
    for header in headers {
      var name = header.name
      name.withUTF8 { name in
        let value = header.length < 0 ? nil : UnsafeRawPointer(pointer(bytes, header.start))
        name.withMemoryRebound(to: CChar.self) { name in
          _ = rd_kafka_header_add(list, name.baseAddress, name.count, value, max(0, header.length))
        }
      }
    }
    return list
  }
}
