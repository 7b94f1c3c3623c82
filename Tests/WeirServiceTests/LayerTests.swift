import Foundation
import Testing

/// The layers of the design, read from `Package.swift` and from the imports of each file.
struct LayerTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// From the top down. A module may use those of its own layer that come after it, and all of the layers below.
  private static let layers: [(name: String, modules: [String])] = [
    ("app", ["weir"]),
    (
      "service",
      [
        "WeirCommands", "WeirAdmin", "WeirLoad", "WeirMockKinesis", "WeirCapture", "WeirInfer", "WeirObserve", "WeirRuntime", "WeirReport",
        "WeirConfiguration", "WeirPlan",
      ]
    ),
    ("engine", ["WeirEngine"]),
    (
      "adapters",
      [
        "WeirLocal", "WeirKafka", "WeirKafkaSettings", "WeirKinesis", "WeirKinesisSettings", "WeirRegistry", "WeirLMDB", "WeirLMDBSettings",
        "WeirRedis", "WeirRedisSettings",
        "WeirDynamoDB", "WeirDynamoDBSettings", "WeirGlue", "WeirGlueSettings", "WeirS3", "WeirS3Settings", "WeirAWS",
      ]
    ),
    ("formats", ["WeirDelta", "WeirParquet"]),
    ("operators and protocols", ["WeirOperators", "WeirProtocol"]),
    ("core", ["WeirCore"]),
  ]

  /// Never used by a module of a layer.
  private static let beside: Set<String> = [
    "WeirTesting", "WeirSimulation", "weir-simulate", "weir-fuzz", "weir-livebench", "weir-microbench", "weir-awsprobe",
  ]

  /// Links a client of another system, or a store.
  private static let clients: Set<String> = [
    "WeirKafka", "WeirKinesis", "WeirLMDB", "WeirRedis", "WeirDynamoDB", "WeirGlue", "WeirRegistry", "WeirAWS", "WeirS3", "CKafka",
    "CLMDB", "CCurl", "CWeirTLS",
  ]

  private static let modules = layers.flatMap(\.modules)

  /// By target of `Package.swift` that is not a test, the targets that it depends on.
  private func targets() throws -> [String: Set<String>] {
    let text = try String(contentsOf: LayerTests.root.appendingPathComponent("Package.swift"), encoding: .utf8)
    let target = try NSRegularExpression(
      pattern: #"\.(?:executableTarget|target|testTarget|systemLibrary)\(\s*(?://[^\n]*)?\s*name: "([^"]+)""#)
    let starts = target.matches(in: text, range: NSRange(text.startIndex..., in: text))
    var found: [String: Set<String>] = [:]
    for (i, match) in starts.enumerated() {
      let end = i + 1 < starts.count ? starts[i + 1].range.location : text.utf16.count
      let from = match.range.location
      guard let name = Range(match.range(at: 1), in: text), let range = Range(NSRange(location: from, length: end - from), in: text) else {
        continue
      }
      let list = text[range].firstMatch(of: try Regex(#"dependencies: \[([\s\S]*?)\]\s*[,)]"#))?.output[1].substring ?? ""
      let names = list.replacing(try Regex(#"\.product\([^)]*\)"#), with: "").split(separator: "\"", omittingEmptySubsequences: false)
        .enumerated()
      found[String(text[name])] = Set(names.filter { $0.offset % 2 == 1 }.map { String($0.element) })
    }
    return found
  }

  @Test func `dependencies point down`() throws {
    let targets = try targets()
    for (i, module) in LayerTests.modules.enumerated() {
      let used = try #require(targets[module], "Package.swift has no target \(module)")
      for name in used where !name.hasPrefix("C") {
        let at = LayerTests.modules.firstIndex(of: name)
        #expect(at.map { $0 > i } == true, "\(module) depends on \(name)")
      }
    }
    let known = Set(LayerTests.modules).union(LayerTests.beside)
    for name in targets.keys where !name.hasPrefix("C") && !name.hasSuffix("Tests") {
      #expect(known.contains(name), "\(name) is in no layer: name it in this test")
    }
  }

  @Test func `the engine uses no adapter and no table format, and adapters do not use each other`() throws {
    let targets = try targets()
    let adapters = Set(LayerTests.layers.first { $0.name == "adapters" }?.modules ?? [])
    #expect(targets["WeirEngine"]?.isDisjoint(with: adapters.union(["WeirDelta"])) == true)
    for adapter in adapters {
      // Settings are apart from their clients; the client of AWS is what the adapters of its services are written on.
      let own: Set = [adapter + "Settings", "WeirAWS"]
      #expect(targets[adapter]?.intersection(adapters).subtracting(own) == [], "\(adapter)")
    }
    for name in ["WeirPlan", "WeirConfiguration", "WeirReport"] { #expect(reached(name, targets).isDisjoint(with: LayerTests.clients)) }
  }

  @Test func `tests of plans and of the engine link no client`() throws {
    let targets = try targets()
    for name in ["WeirPlanTests", "WeirEngineTests", "WeirOperatorsTests", "WeirProtocolTests", "WeirParquetTests", "WeirDeltaTests"] {
      let found = reached(name, targets)
      #expect(found.count > 3, "\(name): the dependencies were not found")
      #expect(found.isDisjoint(with: LayerTests.clients), "\(name) links \(found.intersection(LayerTests.clients).sorted())")
    }
  }

  /// All that a target depends on.
  private func reached(_ name: String, _ targets: [String: Set<String>]) -> Set<String> {
    var (found, next) = (Set<String>(), [name])
    while let one = next.popLast() { for other in targets[one] ?? [] where found.insert(other).inserted { next.append(other) } }
    return found
  }

  /// SwiftPM lets a file import any module that was built before: what is not declared builds by luck.
  @Test func `each file imports only what its module declares`() throws {
    let targets = try targets()
    var files = 0
    for module in LayerTests.modules {
      let declared = try #require(targets[module])
      let folder = LayerTests.root.appendingPathComponent("Sources/\(module)")
      let all = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
      for case let file as URL in all where file.pathExtension == "swift" {
        files += 1
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") where line.hasPrefix("import Weir") {
          let name = String(line.dropFirst("import ".count))
          #expect(declared.contains(name), "\(module)/\(file.lastPathComponent) imports \(name)")
        }
      }
    }
    #expect(files > 300, "the sources were not found")
  }

  /// Only the wiring and the commands name clients; a command that reads a pipeline file names the clients' sections.
  @Test func `commands read pipeline files with the clients' own checks`() throws {
    for module in ["WeirCommands", "WeirLoad", "WeirCapture", "WeirObserve", "WeirRuntime"] {
      let folder = LayerTests.root.appendingPathComponent("Sources/\(module)")
      let all = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
      for case let file as URL in all where file.pathExtension == "swift" {
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") where line.contains("loadPipeline(") {
          // LookupReading's are the clients' sections with another reader of lookups.
          let isOwn = file.lastPathComponent == "LookupReading.swift" && line.contains("sections: sections")
          #expect(isOwn || line.contains("sections: .withClients"), "\(file.lastPathComponent): \(line)")
        }
      }
    }
  }
}
