import Glibc
import WeirTesting

/// Runs parsers of outside bytes on hostile inputs. Not shipped; `Scripts/prove fuzz` and `Scripts/test` run it.
///
/// Two drivers of the same targets: the mutator here, whose inputs are the same in each run, and libFuzzer, in a build with
/// `-D LIBFUZZER`, which `Scripts/prove fuzz` makes. An input that crashes is in the file that `--current` names when the process has ended.
@main
enum WeirFuzz {
  static let usage = """
    usage: weir-fuzz list
           weir-fuzz seeds TARGET DIR                 writes the target's valid inputs
           weir-fuzz replay TARGET FILE|DIR…          runs the target on files
           weir-fuzz mutate TARGET [--seed N] [--runs N] [--seconds S] [--current FILE] [DIR…]
           weir-fuzz libfuzzer TARGET [OPTION|DIR…]   in a build with libFuzzer
    """

  static func main() {
    var words = Array(CommandLine.arguments.dropFirst())
    guard let command = words.first else { stop(usage) }
    if command == "list" { return print(FuzzTarget.all.map(\.name).joined(separator: "\n")) }
    guard words.count > 1, let target = FuzzTarget.named(words[1]) else {
      stop("weir-fuzz: name a target; `weir-fuzz list` prints them\n" + usage)
    }
    words.removeFirst(2)
    switch command {
    case "seeds": writeSeeds(target, to: words.first ?? ".")
    case "replay": replay(target, words)
    case "mutate": mutate(target, words)
    case "libfuzzer": LibFuzzer.run(target, words)
    default: stop(usage)
    }
    Workspace.remove()
  }

  static func stop(_ text: String) -> Never {
    report(text)
    exit(2)
  }

  private static func seeds(_ target: FuzzTarget) -> [[UInt8]] {
    do { return try target.seeds() } catch { stop("weir-fuzz: \(target.name): its seeds cannot be made: \(error)") }
  }

  private static func writeSeeds(_ target: FuzzTarget, to directory: String) {
    mkdir(directory, 0o777)
    for (number, seed) in seeds(target).enumerated() {
      let path = "\(directory)/seed-\(number)"
      guard let file = fopen(path, "w") else { stop("weir-fuzz: \(path) cannot be written") }
      fwrite(seed, 1, seed.count, file)
      fclose(file)
    }
  }

  /// Files, and those of directories, in order of their names.
  private static func files(_ paths: [String]) -> [(path: String, bytes: [UInt8])] {
    paths.flatMap { path -> [(path: String, bytes: [UInt8])] in
      guard let handle = opendir(path) else { return [(path, Workspace.bytes(path))] }
      defer { closedir(handle) }
      var names: [String] = []
      while let item = readdir(handle) {
        let name = withUnsafePointer(to: &item.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if !name.hasPrefix(".") { names.append(name) }
      }
      return names.sorted().map { (path + "/" + $0, Workspace.bytes(path + "/" + $0)) }
    }
  }

  private static func replay(_ target: FuzzTarget, _ paths: [String]) {
    let files = files(paths)
    for file in files {
      report(file.path)
      alarm(60)
      target.run(file.bytes)
    }
    print("\(target.name): \(files.count) files")
  }

  // MARK: The mutator

  private static func mutate(_ target: FuzzTarget, _ arguments: [String]) {
    var (seed, runs, seconds, current, directories) = (1, Int.max, Int.max, nil as String?, [String]())
    var words = arguments[...]
    func number(_ option: String) -> Int {
      guard let value = words.popFirst().flatMap({ Int($0) }), value >= 0 else { stop("weir-fuzz: \(option) needs a number") }
      return value
    }
    while let word = words.popFirst() {
      switch word {
      case "--seed": seed = number(word)
      case "--runs": runs = number(word)
      case "--seconds": seconds = number(word)
      case "--current": current = words.popFirst()
      default: directories.append(word)
      }
    }
    if runs == Int.max, seconds == Int.max { runs = 10_000 }
    // Longer than any input may take: an allocation that grows without a bound, or a hang, ends the process.
    var limit = rlimit(rlim_cur: 4 << 30, rlim_max: 4 << 30)
    setrlimit(__rlimit_resource_t(UInt32(RLIMIT_AS.rawValue)), &limit)
    let inputs = seeds(target) + files(directories).map(\.bytes)
    for input in inputs { target.run(input) }
    let keeper = current.map { CurrentInput($0) }
    var mutator = Mutator(
      seeds: inputs, words: target.words.map { Array($0.utf8) },
      random: SplitMix64(seed: UInt64(seed) ^ UInt64(truncatingIfNeeded: hash(target.name))))
    var (done, slowest) = (0, 0)
    let start = cpuMilliseconds(CLOCK_MONOTONIC)
    while done < runs,
      done % 64 > 0 || cpuMilliseconds(CLOCK_MONOTONIC) - start < seconds.multipliedReportingOverflow(by: 1000).partialValue
    {
      if done % 64 == 0 { alarm(60) }
      let input = mutator.next()
      keeper?.set(input)
      let before = cpuMilliseconds(CLOCK_PROCESS_CPUTIME_ID)
      target.run(input)
      let took = cpuMilliseconds(CLOCK_PROCESS_CPUTIME_ID) - before
      slowest = max(slowest, took)
      if took > 500 { report("\(target.name): an input of \(input.count) bytes took \(took) ms: \(input.prefix(400))") }
      // 100 ms are the goal for 64 KiB; a busy machine may need several times that.
      if took > 2000 { fail("\(target.name): one input of \(input.count) bytes took \(took) ms") }
      done += 1
    }
    print("\(target.name): \(done) inputs from \(inputs.count) seeds, slowest \(slowest) ms, at most \(peakMebibytes) MiB")
  }

  /// Since the program began; `ru_maxrss` would be that of the process which started it, if that was larger.
  private static var peakMebibytes: Int {
    let status = String(decoding: Workspace.text("/proc/self/status"), as: UTF8.self)
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
    return (Int(line.filter(\.isNumber)) ?? 0) >> 10
  }

  private static func hash(_ text: String) -> UInt64 {
    text.utf8.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
  }

  private static func cpuMilliseconds(_ clock: clockid_t) -> Int {
    var now = timespec()
    clock_gettime(clock, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
  }
}

/// The input that runs now, in a file that outlives the process: its length in 8 bytes, then its bytes.
private struct CurrentInput {
  private let memory: UnsafeMutableRawPointer

  init(_ path: String) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    let size = Mutator.bytesMax + 8
    guard descriptor >= 0, ftruncate(descriptor, size) == 0,
      let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
    else { WeirFuzz.stop("weir-fuzz: \(path) cannot be written") }
    close(descriptor)
    self.memory = memory
  }

  func set(_ input: [UInt8]) {
    memory.storeBytes(of: UInt64(input.count), as: UInt64.self)
    input.withUnsafeBytes { if let base = $0.baseAddress { (memory + 8).copyMemory(from: base, byteCount: $0.count) } }
  }
}
