import CWeirSystem
import Glibc
import WeirCore

/// The process's environment, its files and programs, and the network.
package struct SystemAWSMachine: AWSMachine {
  package let transport: any AWSTransport
  package let clock: any Clock
  package let random: any RandomSource
  /// For files and programs, which block.
  private let threads: any BlockingRunner
  private static let fileBytesMax = 1 << 20

  package init(transport: any AWSTransport, clock: any Clock, random: any RandomSource, threads: any BlockingRunner) {
    self.transport = transport
    self.clock = clock
    self.random = random
    self.threads = threads
  }

  /// With libcurl, and the authorities of `AWS_CA_BUNDLE`.
  /// - Parameter threads: a program of a profile may keep one of them for a minute.
  package static func standard(clock: any Clock, random: any RandomSource, threads: any BlockingRunner) -> SystemAWSMachine {
    var settings = CurlClient.Settings()
    settings.authorities = getenv("AWS_CA_BUNDLE").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    return SystemAWSMachine(transport: CurlClient(settings), clock: clock, random: random, threads: threads)
  }

  package func variable(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
  }

  package func read(_ path: String) async throws(AWSFailure) -> [UInt8]? {
    try await onThread { () throws(AWSFailure) -> [UInt8]? in try SystemAWSMachine.readNow(path) }
  }

  package func run(_ words: [String], seconds: Int) async throws(AWSFailure) -> [UInt8] {
    try await onThread { () throws(AWSFailure) -> [UInt8] in
      try CredentialProgram.run(words, seconds: seconds, bytesMax: SystemAWSMachine.fileBytesMax)
    }
  }

  private func onThread<T: Sendable>(_ work: @escaping @Sendable () throws(AWSFailure) -> T) async throws(AWSFailure) -> T {
    do {
      return try await threads.run { try work() }
    } catch let failure as AWSFailure {
      throw failure
    } catch {
      throw .configuration("\(error)")
    }
  }

  private static func readNow(_ path: String) throws(AWSFailure) -> [UInt8]? {
    // A FIFO that has no writer would block.
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if file < 0, errno == ENOENT || errno == ENOTDIR { return nil }
    guard file >= 0 else { throw .configuration("\(path) cannot be read: \(String(cString: strerror(errno)))") }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = Glibc.read(file, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .configuration("\(path) cannot be read: \(String(cString: strerror(errno)))") }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= fileBytesMax else { throw .configuration("\(path) has more than \(fileBytesMax >> 20) MiB") }
    }
  }
}

/// A program that writes keys to its standard output (`credential_process`).
enum CredentialProgram {
  /// Blocks. The program and what it has started are killed when its time is over.
  static func run(_ words: [String], seconds: Int, bytesMax: Int) throws(AWSFailure) -> [UInt8] {
    var pipe: [Int32] = [0, 0]
    guard weir_pipe(&pipe) == 0 else { throw failed("no pipe: \(String(cString: strerror(errno)))") }
    defer { close(pipe[0]) }
    let started = Result { () throws(AWSFailure) in try start(words, output: pipe[1]) }
    close(pipe[1])
    let process = try started.get()
    let output = collect(pipe[0], seconds: seconds, bytesMax: bytesMax)
    if output == nil { kill(-process, SIGKILL) }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0, errno == EINTR {}
    guard let output else { throw failed("it did not end within \(seconds) s, or wrote more than \(bytesMax >> 20) MiB") }
    // WIFEXITED, WEXITSTATUS
    guard status & 0x7F == 0 else { throw failed("it was ended by signal \(status & 0x7F)") }
    guard status >> 8 & 0xFF == 0 else { throw failed("it failed with exit code \(status >> 8 & 0xFF)") }
    return output
  }

  /// In a process group of its own, with no input; its standard error is discarded.
  private static func start(_ words: [String], output: Int32) throws(AWSFailure) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    posix_spawnattr_setpgroup(&attributes, 0)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var process = pid_t()
    let code = posix_spawnp(&process, words[0], &actions, &attributes, &arguments, weir_environment())
    guard code == 0 else { throw failed("it cannot be started: \(String(cString: strerror(code)))") }
    return process
  }

  /// nil: too long, or too much.
  private static func collect(_ file: Int32, seconds: Int, bytesMax: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    let end = now() + Int64(seconds) * 1000
    while true {
      let left = end - now()
      guard left > 0, bytes.count <= bytesMax else { return nil }
      var wait = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
      let ready = poll(&wait, 1, Int32(min(left, 60_000)))
      if ready < 0, errno != EINTR { return nil }
      guard ready > 0 else { continue }
      let count = read(file, &chunk, chunk.count)
      if count == 0 { return bytes }
      if count > 0 { bytes += chunk[..<count] }
    }
  }

  private static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }

  private static func failed(_ reason: String) -> AWSFailure { .credentials(.retriable, reason) }
}
