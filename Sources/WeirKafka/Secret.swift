import Glibc
import Synchronization
import WeirCore

/// Where a password, a private key or a token is to be found: never the thing itself.
///
/// Settings hold this, so that printing settings, a plan or an error cannot show a secret. The value is read at the
/// moment that it is used, so a file may be replaced (a token that is renewed) while the worker runs.
package struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  enum Source: Sendable, Hashable {
    case environment(String)
    case file(String)
    case provided(SecretProvider)
  }

  let source: Source

  /// Of a service that the caller knows.
  package static func provided(_ provider: SecretProvider) -> Secret { Secret(source: .provided(provider)) }

  /// The value of an environment variable.
  package static func environment(_ name: String) -> Secret { Secret(source: .environment(name)) }

  /// The text of a file, without its last line end.
  package static func file(_ path: String) -> Secret { Secret(source: .file(path)) }

  /// Names the place and never the value: `secret of $KAFKA_PASSWORD`.
  package var description: String {
    switch source {
    case .environment(let name): "secret of $\(name)"
    case .file(let path): "secret of file \(path)"
    case .provided(let provider): provider.description
    }
  }

  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: [:]) }

  /// The value, at this moment.
  /// - Throws: a ``KafkaError`` that names the place where nothing was found.
  package func read() throws(KafkaError) -> String {
    switch source {
    case .environment(let name):
      guard let value = getenv(name), value.pointee != 0 else {
        throw .settings(
          "the environment variable \(name) is \(getenv(name) == nil ? "not set" : "empty")",
          advice: "Set it, or name a file that holds the secret.")
      }
      return String(cString: value)
    case .file(let path):
      return try Secret.text(ofFile: path)
    case .provided(let provider):
      if let known = provider.current() { return known }
      do throws(WeirError) { return try provider.read() } catch {
        var failure = KafkaError.settings(error.message)
        failure.advice = error.advice
        throw failure
      }
    }
  }

  /// The value, fetched if it is time, which may take some seconds.
  func fresh() throws(KafkaError) -> String {
    if let provider { _ = try? provider.read() }
    return try read()
  }

  /// For a secret that may change while a client runs: what is known of it, without a wait; nil: it is of another kind.
  var provider: SecretProvider? { if case .provided(let provider) = source { provider } else { nil } }

  private static func text(ofFile path: String) throws(KafkaError) -> String {
    let descriptor: Int32
    do throws(LocalFile.Refusal) { descriptor = try LocalFile.open(path) } catch {
      throw .settings("the file \(path), which holds a secret, cannot be read: \(error.text)", advice: "Check its path and permissions.")
    }
    guard let file = fdopen(descriptor, "r") else {
      close(descriptor)
      throw .settings("the file \(path), which holds a secret, cannot be read", advice: "Check its path and permissions.")
    }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while bytes.count < Secret.bytesMax {
      let count = fread(&chunk, 1, chunk.count, file)
      if count == 0 { break }
      bytes += chunk[..<count]
    }
    guard ferror(file) == 0 else {
      throw .settings(
        "the file \(path), which holds a secret, cannot be read: \(String(cString: strerror(errno)))", advice: "Is it a file?")
    }
    while let last = bytes.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: "\r") { bytes.removeLast() }
    guard !bytes.isEmpty else { throw .settings("the file \(path), which holds a secret, is empty", advice: "Write the secret into it.") }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A file with more than this is not a secret but a mistake.
  private static let bytesMax = 1 << 20
}

/// Takes secrets out of texts that come back from librdkafka (log lines, errors).
///
/// librdkafka itself prints none that we know of; this is the second lock on the door.
///
/// Copies share what is to be taken out: a client's secrets may change while it runs.
struct Redactor: Sendable {
  private final class Values: Sendable {
    let list = Mutex<[[UInt8]]>([])
  }

  private let values = Values()
  /// Of a secret that changes for ever the oldest values are forgotten.
  private static let countMax = 1000

  /// Texts shorter than this are not taken out: they would blank half of every message and protect nothing.
  private static let lengthMin = 4

  func add(_ value: String) {
    let bytes = Array(value.utf8)
    values.list.withLock { list in
      // A key file has many lines, and a message would show one of them.
      for line in bytes.split(separator: UInt8(ascii: "\n")) where line.count >= Redactor.lengthMin {
        if !line.starts(with: Array("-----".utf8)), !list.contains(Array(line)) { list.append(Array(line)) }
      }
      if list.count > Redactor.countMax { list.removeFirst(list.count - Redactor.countMax) }
    }
  }

  func clean(_ text: String) -> String {
    let values = values.list.withLock { $0 }
    if values.isEmpty { return text }
    var bytes = Array(text.utf8)
    for value in values { bytes = Redactor.replace(value, in: bytes) }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func replace(_ value: [UInt8], in bytes: [UInt8]) -> [UInt8] {
    guard bytes.count >= value.count else { return bytes }
    var result: [UInt8] = []
    var at = 0
    while at < bytes.count {
      if bytes[at] == value[0], at + value.count <= bytes.count, bytes[at..<at + value.count].elementsEqual(value) {
        result += Array("[redacted]".utf8)
        at += value.count
      } else {
        result.append(bytes[at])
        at += 1
      }
    }
    return result
  }
}
