import Foundation

/// Numbers for people.
package enum Human {
  /// `336,776`
  package static func count(_ n: Int64) -> String {
    var digits = Array(String(n.magnitude))
    var at = digits.count - 3
    while at > 0 {
      digits.insert(",", at: at)
      at -= 3
    }
    return (n < 0 ? "-" : "") + String(digits)
  }

  package static func rate(_ perSecond: Double) -> String {
    if perSecond >= 1e6 { return fixed(perSecond / 1e6, 2) + " M/s" }
    if perSecond >= 1e3 { return fixed(perSecond / 1e3, 0) + " k/s" }
    return fixed(perSecond, 0) + " /s"
  }

  package static func bytes(_ n: Int64) -> String {
    var value = Double(n)
    for unit in ["B", "KiB", "MiB", "GiB"] {
      if value < 1024 { return fixed(value, unit == "B" ? 0 : 1) + " " + unit }
      value /= 1024
    }
    return fixed(value, 1) + " TiB"
  }

  package static func seconds(_ s: Double) -> String {
    if s < 60 { return fixed(s, 1) + " s" }
    return "\(Int(s) / 60)m\(String(format: "%02d", Int(s) % 60))s"
  }

  package static func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
}
