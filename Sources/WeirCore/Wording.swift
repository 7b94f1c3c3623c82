/// A text for people that says what to do without the words of a front door: a ``Remedy`` in it is named by the code that shows the text.
///
/// A literal or an interpolation makes one: `"Restore the file from a copy, or replay into \(.newLake)."`.
public struct Wording: Sendable, Hashable, CustomStringConvertible {
  enum Part: Sendable, Hashable {
    case text(String)
    case remedy(Remedy)
  }

  private var parts: [Part] = []

  public init(_ text: String) { parts = [.text(text)] }

  /// The whole text.
  /// - Parameter phrase: names each remedy.
  public func text(_ phrase: (Remedy) -> String) -> String {
    parts.reduce(into: "") { text, part in
      switch part {
      case .text(let words): text += words
      case .remedy(let remedy): text += phrase(remedy)
      }
    }
  }

  /// In words that fit every front door.
  public var description: String { text(\.phrase) }

  public var remedies: [Remedy] {
    parts.compactMap { part in
      if case .remedy(let remedy) = part { remedy } else { nil }
    }
  }

  /// Whether the text, in words that fit every front door, has these.
  public func contains(_ words: String) -> Bool { description.contains(words) }
}

extension Wording: ExpressibleByStringInterpolation {
  public init(stringLiteral text: String) { self.init(text) }
  public init(stringInterpolation: Interpolation) { self = stringInterpolation.wording }

  public struct Interpolation: StringInterpolationProtocol {
    fileprivate var wording = Wording("")

    public init(literalCapacity: Int, interpolationCount: Int) {}

    public mutating func appendLiteral(_ text: String) { wording.parts.append(.text(text)) }
    public mutating func appendInterpolation(_ remedy: Remedy) { wording.parts.append(.remedy(remedy)) }
    public mutating func appendInterpolation(_ inner: Wording) { wording.parts += inner.parts }
    public mutating func appendInterpolation<T>(_ value: T) { wording.parts.append(.text("\(value)")) }
  }
}
