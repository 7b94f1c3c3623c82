import WeirCore
import WeirReport
import WeirRuntime

/// `weir --version --json`: the versions of Weir and of the libraries that it runs with. `weir --version` alone prints Weir's, for scripts.
package enum VersionCommand {
  package static var json: String {
    let libraries = AdapterRegistry.standard.libraries.map { JSONValue.Member($0.name.lowercased(), .string($0.version)) }
    return JSONValue.object([.init("version", .string(weirVersion))] + libraries).text
  }
}
