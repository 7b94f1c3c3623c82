import WeirRegistry

/// A library of others that an adapter runs with.
package struct LibraryVersion: Sendable, Equatable {
  /// As its makers write it.
  package var name: String
  package var version: String
}

extension AdapterRegistry {
  /// The libraries that this process runs with, each once: of sources and sinks, of state tables, and of schema registries.
  package var libraries: [LibraryVersion] {
    let all =
      sources.flatMap(\.libraries) + sinks.flatMap(\.libraries) + stateTables.flatMap(\.libraries)
      + [LibraryVersion(name: "libcurl", version: CurlLibrary.version)]
    return all.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// Those of a plan's source.
  package func libraries(of adapter: String) -> [LibraryVersion] { source(adapter)?.libraries ?? [] }
}
