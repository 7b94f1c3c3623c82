import WeirCore
import WeirOperators

/// Bytes of state by what holds them, about. A cut frees none of it.
package struct StateBytes: Sendable, Equatable {
  package var dedup: Int64 = 0
  package var windows: Int64 = 0
  package var keyed: Int64 = 0

  package init(dedup: Int64 = 0, windows: Int64 = 0, keyed: Int64 = 0) {
    (self.dedup, self.windows, self.keyed) = (dedup, windows, keyed)
  }

  init(dedup: Int64, windows: [(any WindowOperator)?], keyed: [KeyedStore?]) {
    self.init(
      dedup: dedup, windows: windows.reduce(0) { $0 + Int64($1?.byteCount ?? 0) }, keyed: keyed.reduce(0) { $0 + Int64($1?.byteCount ?? 0) }
    )
  }

  package var total: Int64 { dedup + windows + keyed }

  package static func + (a: StateBytes, b: StateBytes) -> StateBytes {
    StateBytes(dedup: a.dedup + b.dedup, windows: a.windows + b.windows, keyed: a.keyed + b.keyed)
  }

  package static func += (a: inout StateBytes, b: StateBytes) { a = a + b }
}

extension StateBytes {
  var holders: [MemoryHolder] {
    [
      MemoryHolder(bytes: dedup, name: "dedup", remedy: "shorten \(.setting(.dedupWithin))"),
      MemoryHolder(
        bytes: windows, name: "open windows",
        remedy: "use shorter windows, a larger \(.setting(.windowDistance)), less lateness, or fewer groups (\(.setting(.groups)))"),
      MemoryHolder(bytes: keyed, name: "keyed state", remedy: "use fewer groups (\(.setting(.groups))) in the state tables"),
    ]
  }
}
