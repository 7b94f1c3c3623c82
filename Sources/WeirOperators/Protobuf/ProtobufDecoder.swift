import WeirCore

/// Decodes blocks of Protobuf messages into columns. Serves one block at a time.
final class ProtobufDecoder: BlockDecoder {
  private let format: ProtobufFormat
  private let fields: [Field]
  private let program: ProtobufProgram
  private var run: ProtobufRun

  /// - Precondition: the fields are those of a plan: the format can read them.
  init(_ format: ProtobufFormat, _ program: ProtobufProgram, _ request: DecoderRequest) {
    (self.format, self.program, fields) = (format, program, request.fields)
    run = ProtobufRun(program, fields: request.fields, read: request.read)
  }

  deinit { run.destroy() }

  func decode(_ raw: RawBlock) -> DecodedBlock {
    let (offset, length, _) = raw.records()
    let count = offset.count
    for i in fields.indices { run.sinks[i].begin(rows: count) }
    var valid = [Bool](repeating: true, count: count)
    var rejections: [(row: Int, rejection: Rejection)] = []
    let base = UnsafePointer(raw.text.base)
    for row in 0..<count {
      let record = StringRef(start: base + Int(offset[row]), count: Int(length[row]))
      do throws(ProtobufFormat.Refusal) {
        let body = try format.body(record, raw.details, row)
        do { try run.record(body, row) } catch { throw ProtobufFormat.Refusal(error) }
      } catch {
        valid[row] = false
        for i in fields.indices { run.sinks[i].clear(row) }
        // Of what is not there no byte is known.
        let place = error.at.map { $0 - record.start }
        let isInside = place.map { $0 >= 0 && $0 <= record.count } ?? false
        rejections.append((row, Rejection(stage: error.stage, reason: error.reason, byte: isInside ? place : nil)))
      }
    }
    let owners = [raw.text as any AnyObject & Sendable, program.arena]
    let columns = fields.indices.map { run.sinks[$0].finish(rows: count, text: owners, valid: valid) }
    return DecodedBlock(raw: raw, offset: offset, length: length, columns: columns, valid: valid, rejections: rejections)
  }
}

/// Of a format that was made without settings: no plan has it.
private final class NoMessageDecoder: BlockDecoder {
  private let fields: [Field]
  init(_ fields: [Field]) { self.fields = fields }

  func decode(_ raw: RawBlock) -> DecodedBlock {
    let (offset, length, _) = raw.records()
    let rejection = Rejection(stage: .schema, reason: "the pipeline has no message for these fields")
    let columns = fields.map { field in
      var builder = ColumnBuilder(field.type)
      for _ in offset { builder.append(.null) }
      return builder.finish()
    }
    return DecodedBlock(
      raw: raw, offset: offset, length: length, columns: columns, valid: offset.map { _ in false },
      rejections: offset.indices.map { ($0, rejection) })
  }
}

extension ProtobufFormat {
  package func decoder(_ request: DecoderRequest) -> any BlockDecoder {
    guard !schema.messages.isEmpty, let program = try? ProtobufProgram(schema, fields: request.fields) else {
      return NoMessageDecoder(request.fields)
    }
    return ProtobufDecoder(self, program, request)
  }
}
