import ArgumentParser

/// `weir completion`.
struct Completion: AsyncParsableCommand {
  enum Shell: String, CaseIterable, ExpressibleByArgument { case bash, zsh, fish }

  static let configuration = CommandConfiguration(
    abstract: "Prints a script that completes commands, options and file names in a shell.",
    discussion: """
      Examples:
        source <(weir completion bash)
        weir completion zsh > "${fpath[1]}/_weir"
        weir completion fish > ~/.config/fish/completions/weir.fish
      """)

  @Argument(help: "bash, zsh or fish.") var shell: Shell

  func run() async throws {
    try await exiting { console in
      guard let kind = CompletionShell(rawValue: shell.rawValue) else { return 2 }
      console.data(Array((Weir.completionScript(for: kind) + "\n").utf8))
      return 0
    }
  }
}

extension CompletionKind {
  static var pipeline: CompletionKind { .file(extensions: ["yaml", "yml"]) }
}
