import Foundation
import WeirCore

/// The two ways out: data on standard output, talk on standard error.
public struct Console: Sendable {
  private let write: @Sendable (_ bytes: ArraySlice<UInt8>, _ descriptor: Int32) -> Void

  public init() { write = Console.toSystem }

  /// - Parameter write: gets what would go to standard output (1) or standard error (2).
  init(_ write: @escaping @Sendable (_ bytes: ArraySlice<UInt8>, _ descriptor: Int32) -> Void) { self.write = write }

  /// Data: a line on standard output.
  public func data(_ line: String) { write(line + "\n", to: 1) }

  /// Talk: a line on standard error.
  public func talk(_ line: String) { write(line + "\n", to: 2) }

  /// Overwrites the line at hand on standard error: a progress bar. Only for a terminal.
  public func status(_ line: String) { write("\r\u{1B}[2K" + line, to: 2) }

  public var isTerminal: Bool { isatty(2) == 1 }

  /// Data: whole lines on standard output.
  func data(_ lines: [UInt8]) { write(lines[...], 1) }

  private func write(_ text: String, to descriptor: Int32) { write(Array(text.utf8)[...], descriptor) }

  @Sendable private static func toSystem(_ bytes: ArraySlice<UInt8>, _ descriptor: Int32) {
    var bytes = bytes
    while !bytes.isEmpty {
      let n = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if n < 0, errno == EINTR || errno == EAGAIN { continue }
      guard n > 0 else { return }  // nobody reads any more: a closed pipe is no reason to stop a pipeline
      bytes = bytes.dropFirst(n)
    }
  }
}

/// Numbers for people.
enum Human {
  /// `336,776`
  static func count(_ n: Int64) -> String {
    var digits = Array(String(n.magnitude))
    var at = digits.count - 3
    while at > 0 {
      digits.insert(",", at: at)
      at -= 3
    }
    return (n < 0 ? "-" : "") + String(digits)
  }

  static func rate(_ perSecond: Double) -> String {
    if perSecond >= 1e6 { return fixed(perSecond / 1e6, 2) + " M/s" }
    if perSecond >= 1e3 { return fixed(perSecond / 1e3, 0) + " k/s" }
    return fixed(perSecond, 0) + " /s"
  }

  static func bytes(_ n: Int64) -> String {
    var value = Double(n)
    for unit in ["B", "KiB", "MiB", "GiB"] {
      if value < 1024 { return fixed(value, unit == "B" ? 0 : 1) + " " + unit }
      value /= 1024
    }
    return fixed(value, 1) + " TiB"
  }

  static func seconds(_ s: Double) -> String {
    if s < 60 { return fixed(s, 1) + " s" }
    return "\(Int(s) / 60)m\(String(format: "%02d", Int(s) % 60))s"
  }

  static func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
}
