import Foundation
import Testing

/// Habits as a test: what the tree must not hold.
struct TidyTests {
  private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// The modules of the service layer.
  private static let service = [
    "WeirPlan", "WeirConfiguration", "WeirReport", "WeirRuntime", "WeirObserve", "WeirCapture", "WeirLoad", "WeirCommands", "WeirAdmin",
    "WeirMockKinesis",
  ]

  @Test func sourcesKeepTheHouseRules() throws {
    let logic = ["WeirCore", "WeirOperators", "WeirProtocol", "WeirParquet", "WeirDelta", "WeirEngine"]
    let banned = [
      "import Foundation", "Date()", "Task.detached", "Task.sleep", " Task {", "UUID()", "print(", "ContinuousClock", ".random(in",
    ]
    for module in logic {
      for file in sources(of: module) {
        let text = try String(contentsOf: file, encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count <= 600, "\(file.lastPathComponent) has \(lines.count) lines: one idea each")
        for line in lines where !line.drop(while: { $0 == " " }).hasPrefix("//") {
          // `print(` alone, not the end of a longer name.
          let text = line.replacing("ingerprint(", with: "")
          for word in banned { #expect(!text.contains(word), "\(module)/\(file.lastPathComponent): \(line)") }
        }
      }
    }
  }

  /// What differs between tables is a matter of their kind. A path is made in one place, and none is taken apart.
  @Test func tablesAreToldApartByTheirKindAndNotByTheirNames() throws {
    let madeHere = "TableCatalogue.swift"
    let path = try Regex(#""(bronze|silver|gold|late|quarantine)/"#)
    let kind = try Regex(#"case "(bronze|silver|gold|late|quarantine)""#)
    var files = 0
    for module in ["WeirCore", "WeirOperators", "WeirProtocol", "WeirDelta", "WeirEngine"] + TidyTests.service {
      for file in sources(of: module) where file.lastPathComponent != madeHere {
        files += 1
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        where !line.drop(while: { $0 == " " }).hasPrefix("//") {
          #expect(line.firstMatch(of: path) == nil, "\(module)/\(file.lastPathComponent): \(line)")
          if module == "WeirEngine" { #expect(line.firstMatch(of: kind) == nil, "\(file.lastPathComponent): \(line)") }
        }
      }
    }
    #expect(files > 100, "the sources were not found")
  }

  /// Whoever asks a position for its kind does something else, or nothing, for the other kind. Only the types themselves and a source's own
  /// adapter may.
  @Test func nobodyButASourceAsksAPositionForItsKind() throws {
    let kind = try Regex(#"case \.(offset|sequence)\("#)
    var files = 0
    for module in ["WeirOperators", "WeirProtocol", "WeirDelta", "WeirEngine", "WeirSimulation"] + TidyTests.service {
      for file in sources(of: module) {
        files += 1
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
          #expect(line.firstMatch(of: kind) == nil, "\(module)/\(file.lastPathComponent): \(line)")
        }
      }
    }
    #expect(files > 100, "the sources were not found")
  }

  /// A table format is a module of its own, which only wiring names; the engine uses the protocol `TableFormat`.
  @Test func theEngineNamesNoTableFormat() throws {
    let files = sources(of: "WeirEngine")
    #expect(files.count > 50, "the sources were not found")
    for file in files {
      for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
        #expect(!line.contains("Delta") && !line.contains("Iceberg"), "\(file.lastPathComponent): \(line)")
      }
    }
  }

  /// Kafka is one adapter among others: its own module, the service's adapters and the commands that work on Kafka alone name it.
  @Test func coreEngineAndSimulationNameNoKafka() throws {
    var files = 0
    for module in [
      "WeirCore", "WeirOperators", "WeirProtocol", "WeirParquet", "WeirDelta", "WeirEngine", "WeirLocal", "WeirSimulation", "WeirCapture",
      "WeirObserve",
    ] {
      for file in sources(of: module) {
        files += 1
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        where !line.drop(while: { $0 == " " }).hasPrefix("//") {
          let code = line.replacing(try Regex(#""(?:[^"\\]|\\.)*""#), with: "")
          #expect(!code.contains("Kafka") && !code.contains(".kafka"), "\(module)/\(file.lastPathComponent): \(line)")
        }
      }
    }
    #expect(files > 100, "the sources were not found")
  }

  /// No code asks a plan for Kafka; the wiring asks the adapter of the plan's source.
  @Test func noCodeAsksAPlanForKafka() throws {
    for file in sources(of: "") {
      for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
      where !line.drop(while: { $0 == " " }).hasPrefix("//") {
        let code = line.replacing(try Regex(#""(?:[^"\\]|\\.)*""#), with: "")
        #expect(!code.contains("source.kafka") && !code.contains("sinks.kafka"), "\(file.lastPathComponent): \(line)")
      }
    }
  }

  /// On a busy machine everything takes longer. Hangs are ended by a limit of minutes or of CPU seconds.
  @Test func `no driver fails because something took long`() throws {
    let bound = try Regex(#"\b(took|seconds|elapsed|duration)\b *(<|> *[0-9])[^"]*(else \[f?"|:$)"#)
    let folder = root.appending(path: "Tests/EndToEnd")
    let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".py") }
    #expect(names.count > 60, "the drivers were not found")
    for name in names {
      for line in try String(contentsOf: folder.appending(path: name), encoding: .utf8).split(separator: "\n") {
        #expect(line.firstMatch(of: bound) == nil || (line.contains("[] if") && line.contains("took > ")), "\(name): \(line)")
      }
    }
  }

  /// Engine and adapters say what to do by a `Remedy`, which the service names; library users have neither options nor a pipeline file.
  @Test func `engine and adapters name no option, command or key of the pipeline file`() throws {
    let sections = "record|checks|quarantine|dedup|lookups|bronze|silver|gold|state|lake|store|worker|admin|sinks|source"
    let named = try NSRegularExpression(
      pattern: "(?:^|[ (`\"])--[a-z]|\\bweir [a-z]|(?<![\\w/.…])(?:\(sections))\\.[a-z_]+(?![\\w(])|\\{[a-z_]+: ?…?\\}")
    let modules = [
      "WeirCore", "WeirOperators", "WeirProtocol", "WeirParquet", "WeirDelta", "WeirEngine", "WeirLocal", "WeirLMDB", "WeirRedis",
      "WeirKafka", "WeirKinesis", "WeirRegistry", "WeirS3", "WeirS3Settings", "WeirDynamoDB", "WeirGlue",
    ]
    var count = 0
    for module in modules {
      for file in sources(of: module) {
        for text in try TidyTests.texts(String(contentsOf: file, encoding: .utf8)) where text.contains(" ") {
          count += 1
          let found = named.firstMatch(in: text, range: NSRange(text.startIndex..., in: text))
          #expect(found == nil, "\(module)/\(file.lastPathComponent): \(text)")
        }
      }
    }
    #expect(count > 500, "the texts were not found")
  }

  private func sources(of module: String) -> [URL] {
    let folder = root.appendingPathComponent("Sources/\(module)")
    let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)!
    let sources = files.compactMap { $0 as? URL }.filter { $0.pathExtension == "swift" }
    // A module that was renamed would not be checked any more.
    #expect(!sources.isEmpty, "there is no module \(module)")
    return sources
  }

  /// Words that are wrong in every text for users.
  private static let neverRight =
    "told|tells?|nobody|somebody|whoever|goes on|go on|gone on|going on|so many|anew|at hand|unless said|amiss|mends?|mended"
    + "|made again|lies|lie|dealt|stands? twice|is no matter"

  /// Phrases of pages in which such a word is right, such as the title of a work.
  private static let exceptions: [String] = []

  @Test func `pages are plain English`() throws {
    let banned = try NSRegularExpression(pattern: "\\b(?:\(TidyTests.neverRight))\\b", options: .caseInsensitive)
    let sources = FileManager.default.enumerator(at: root.appendingPathComponent("Sources"), includingPropertiesForKeys: nil)!
    let pages = sources.compactMap { $0 as? URL }.filter { $0.pathExtension == "md" } + [root.appendingPathComponent("README.md")]
    #expect(pages.count > 20, "the pages were not found")
    for page in pages {
      for line in try String(contentsOf: page, encoding: .utf8).split(separator: "\n") {
        let text = TidyTests.exceptions.reduce(String(line)) { $0.replacingOccurrences(of: $1, with: "") }
        let found = banned.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)).flatMap { Range($0.range, in: text) }
        if let found { Issue.record("\(page.lastPathComponent): \"\(text[found])\" in: \(text)") }
      }
    }
  }

  /// At the end of the `discussion` of each command, in lines that a terminal of 80 columns does not wrap.
  @Test func `the help of every command has one to three examples`() throws {
    var count = 0
    for file in sources(of: "weir") {
      let text = try String(contentsOf: file, encoding: .utf8)
      for command in text.components(separatedBy: " = CommandConfiguration(").dropFirst() {
        count += 1
        let examples = command.components(separatedBy: "Examples:\n").dropFirst().first?.components(separatedBy: "\"\"\"").first ?? ""
        let lines = examples.split(separator: "\n").map { $0.drop { $0 == " " } }.filter { !$0.isEmpty }
        #expect((1...3).contains(lines.count), "\(file.lastPathComponent): \(command.prefix(100))")
        for line in lines { #expect(line.contains("weir ") && line.count <= 78, "\(file.lastPathComponent): \(line)") }
      }
    }
    #expect(count == 23, "a command was not found, or is new: \(count)")
  }

  /// Help, errors, log lines and help of metrics: string literals with a space in them.
  @Test func `texts for users are plain English`() throws {
    let words = TidyTests.neverRight + "|so long|stands? (?:in|for|at|there|where|before)"
    let banned = try NSRegularExpression(
      pattern: "\\b(?:\(words))\\b|(?<!there )\\bis no\\b(?! longer)|\\bis none of\\b"
        + "|(?<!entries )(?<!further )(?<!ms )(?<![.`])\\bbehind\\b(?! schedule)",
      options: .caseInsensitive)
    var count = 0
    for file in sources(of: "") {
      for text in try TidyTests.texts(String(contentsOf: file, encoding: .utf8)) where text.contains(" ") {
        count += 1
        let found = banned.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)).flatMap { Range($0.range, in: text) }
        if let found { Issue.record("\(file.lastPathComponent): \"\(text[found])\" in: \(text)") }
      }
    }
    #expect(count > 1000, "the texts were not found")
  }

  /// String literals outside of comments; an interpolation is `…`.
  private static func texts(_ source: String) throws -> [String] {
    var isMultiline = false
    var texts: [String] = []
    let interpolation = try Regex(#"\\\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"#)
    let literal = try Regex(#""((?:[^"\\]|\\.)*)""#)
    for line in source.split(separator: "\n") {
      let code = line.drop { $0 == " " }
      if code.hasPrefix("//") { continue }
      guard code.components(separatedBy: "\"\"\"").count != 2 else {
        isMultiline.toggle()
        continue
      }
      let plain = code.replacing(interpolation, with: "…")
      texts += isMultiline ? [String(plain)] : plain.matches(of: literal).map { String(plain[$0.range]) }
    }
    return texts
  }

  @Test func theFoldersOfTheEngineFormNoCycle() throws {
    let files = try sources(of: "WeirEngine").map { file in
      (
        folder: file.deletingLastPathComponent().lastPathComponent, name: file.lastPathComponent,
        text: try String(contentsOf: file, encoding: .utf8)
      )
    }
    let uses = FolderUses(files)
    #expect(uses.folders.count > 10, "the engine's folders were not found")
    if let cycle = uses.cycle() { Issue.record("folders use each other: \(cycle)") }
  }

  @Test func aCycleOfFoldersIsFound() {
    let files = [
      ("A", "One.swift", "struct One { var two: Two }"), ("B", "Two.swift", "/// Made of ``Three``.\nstruct Two { let text = \"One\" }"),
      ("C", "Three.swift", "enum Three {\n  struct Two {}\n}"),
    ]
    #expect(FolderUses(files).cycle() == nil)
    #expect(
      FolderUses(files + [("B", "Four.swift", "func four(_ three: Three) {}"), ("C", "Five.swift", "let one: One? = nil")]).cycle() != nil)
  }
}

/// Which folder of a module uses types that another one declares. By symbol: Swift has no imports within a module.
private struct FolderUses {
  /// By folder, the folders it uses and one example of each.
  private(set) var uses: [String: [String: String]] = [:]
  private(set) var folders: Set<String> = []

  init(_ files: [(folder: String, name: String, text: String)]) {
    folders = Set(files.map(\.folder))
    let access = "(?:public |package |final |indirect )*"
    let top = try! NSRegularExpression(
      pattern: "^\(access)(?:struct|class|enum|actor|protocol|typealias) (\\w+)", options: .anchorsMatchLines)
    let any = try! NSRegularExpression(pattern: "(?:struct|class|enum|actor|protocol|typealias) ([A-Z]\\w+)")
    // What another type has of the same name is not meant.
    let word = try! NSRegularExpression(pattern: "(?<![.\\w])[A-Z]\\w+")
    let code = files.map { (folder: $0.folder, name: $0.name, text: FolderUses.withoutTexts($0.text)) }
    var owner: [String: String] = [:]
    var declared: [String: Set<String>] = [:]
    for file in code {
      for name in FolderUses.matches(top, file.text) { owner[name] = file.folder }
      declared[file.folder, default: []].formUnion(FolderUses.matches(any, file.text))
    }
    for file in code {
      for name in Set(FolderUses.matches(word, file.text)) where declared[file.folder]?.contains(name) != true {
        guard let other = owner[name], other != file.folder else { continue }
        uses[file.folder, default: [:]][other] = "\(file.folder)/\(file.name) uses \(other)'s \(name)"
      }
    }
  }

  /// Without comments and string literals.
  private static func withoutTexts(_ text: String) -> String {
    var text = text
    for pattern in ["\"\"\"[\\s\\S]*?\"\"\"", "//[^\n]*", "\"(?:\\\\.|[^\"\\\\\n])*\""] {
      text = text.replacingOccurrences(of: pattern, with: "", options: .regularExpression)
    }
    return text
  }

  private static func matches(_ pattern: NSRegularExpression, _ text: String) -> [String] {
    pattern.matches(in: text, range: NSRange(text.startIndex..., in: text)).compactMap { match in
      Range(match.range(at: match.numberOfRanges - 1), in: text).map { String(text[$0]) }
    }
  }

  /// One cycle in words; nil: there is none.
  func cycle() -> String? {
    var done: Set<String> = []
    func visit(_ folder: String, _ path: [String]) -> [String]? {
      if let start = path.firstIndex(of: folder) { return Array(path[start...]) + [folder] }
      if done.contains(folder) { return nil }
      for next in (uses[folder] ?? [:]).keys.sorted() { if let found = visit(next, path + [folder]) { return found } }
      done.insert(folder)
      return nil
    }
    for folder in folders.sorted() {
      if let found = visit(folder, []) {
        return zip(found, found.dropFirst()).compactMap { uses[$0]?[$1] }.joined(separator: "; ")
      }
    }
    return nil
  }
}
