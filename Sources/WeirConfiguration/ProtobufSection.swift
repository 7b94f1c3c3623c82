import WeirCore
import WeirOperators
import WeirPlan
import Yams

/// `protobuf: {descriptor: FILE, message: NAME, framing: none | delimited | confluent}`.
struct ProtobufSection: FormatSection {
  let format: any RecordFormat.Type = ProtobufFormat.self
  let shape: ValueShape? = .table(.protobuf)
  let needsSettings = true

  func read(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)? {
    let what = "record.format.protobuf"
    let reader = loader.reader
    let members = reader.mapping(node, what, .protobuf)
    guard let file = reader.required(members, "descriptor", of: what, at: node),
      let name = reader.required(members, "message", of: what, at: node),
      let path = reader.path(file, "\(what).descriptor"), let message = reader.string(name, "\(what).message")
    else { return nil }
    var framing: ProtobufFormat.Framing?
    if let node = members["framing"] {
      guard let word = reader.choice(node, "\(what).framing", KeyTable.protobuf.choices("framing")) else { return nil }
      framing = ProtobufFormat.Framing(rawValue: word)
      loader.builder.spans["\(what).framing"] = node.span
    }
    guard let descriptor = descriptor(Paths.resolve(path, in: loader.directory), file, reader) else { return nil }
    do throws(ProtobufDescriptor.Fault) {
      return ProtobufFormat(
        message: message.hasPrefix(".") ? String(message.dropFirst()) : message, framing: framing,
        schema: try descriptor.schema(of: message))
    } catch {
      reader.report("\(what).message: \(path): \(words(error))", "bad_value", at: name, suggestion: error.suggestion)
      return nil
    }
  }

  func plain(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)? {
    loader.reader.report(
      "record.format.protobuf needs a descriptor and a message: format: {protobuf: {descriptor: FILE, message: NAME}}", "missing_key",
      at: node)
    return nil
  }

  private func words(_ fault: ProtobufDescriptor.Fault) -> String {
    fault.isIncomplete ? "\(fault.reason). Write it with protoc --include_imports --descriptor_set_out=FILE" : fault.reason
  }

  private func descriptor(_ path: String, _ node: Node, _ reader: YAMLReader) -> ProtobufDescriptor? {
    let what = "record.format.protobuf.descriptor"
    do {
      let bytes = try InputFile.bytes(of: path, bytesMax: ProtobufDescriptor.bytesMax)
      return try ProtobufDescriptor(bytes)
    } catch let error as InputFile.Refusal {
      switch error {
      case .tooLarge:
        reader.report(
          "\(what): the file \(path) has more than \(ProtobufDescriptor.bytesMax) bytes (descriptor_bytes)", "too_large", at: node)
      case .unreadable(let why), .unavailable(let why):
        reader.report("\(what): the file \(path) cannot be read: \(why)", "no_file", at: node)
      case .notAsked: break
      }
    } catch let error as ProtobufDescriptor.Fault {
      reader.report("\(what): \(path): \(words(error))", "bad_value", at: node)
    } catch {}
    return nil
  }
}
