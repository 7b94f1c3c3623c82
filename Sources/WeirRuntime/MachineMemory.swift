import CWeirSystem
import Foundation
import Synchronization
import WeirEngine
import WeirPlan

/// What memory this process can have.
enum MachineMemory {
  /// Bytes: the smallest limit of its cgroups (a container's), or of the machine.
  static func available() -> Int64? {
    let machine = Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE)))
    let limits = limitFiles(groups: text("/proc/self/cgroup") ?? "").compactMap { text($0).flatMap(limit) }
    return (limits + [machine]).filter { $0 > 0 }.min()
  }

  /// Files that may hold a limit: of the cgroup as the process sees it (in a container mostly the root), and as the host does.
  /// - Parameter groups: `/proc/self/cgroup`: lines of `number:controllers:path`.
  static func limitFiles(groups: String) -> [String] {
    var files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    for line in groups.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, parts[2] != "/" else { continue }
      if parts[1].isEmpty {
        files.append("/sys/fs/cgroup\(parts[2])/memory.max")
      } else if parts[1].split(separator: ",").contains("memory") {
        files.append("/sys/fs/cgroup/memory\(parts[2])/memory.limit_in_bytes")
      }
    }
    return files
  }

  /// nil for `max`, and for the number by which the first version of cgroups says that there is no limit.
  static func limit(_ text: String) -> Int64? {
    guard let bytes = Int64(text.trimmingSpacesAndLineEnds), bytes > 0, bytes < Int64.max / 2 else { return nil }
    return bytes
  }

  /// This process's.
  static var process: ProcessMemory { ProcessMemory(anonymousBytes: { anonymousBytes() }, trim: { weir_trim_heaps() }) }

  private static let pageBytes = Int64(sysconf(Int32(_SC_PAGESIZE)))

  /// Resident pages that no file stands behind.
  static func anonymousBytes() -> Int64? {
    let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    // Without an allocation: this is asked for each block and a hundred times a second.
    return withUnsafeTemporaryAllocation(byteCount: 128, alignment: 1) { text in
      let count = read(descriptor, text.baseAddress, text.count)
      guard count > 0 else { return nil }
      return anonymousPages(UnsafeRawBufferPointer(text)[..<count]).map { $0 * pageBytes }
    }
  }

  /// Of `/proc/self/statm`: pages of the process, resident ones, and those of these with a file behind them.
  static func anonymousPages(_ text: Slice<UnsafeRawBufferPointer>) -> Int64? {
    var (numbers, number) = ((Int64(0), Int64(0), Int64(0)), 0)
    var isInside = false
    for byte in text {
      guard byte >= 0x30, byte <= 0x39 else {
        number += isInside ? 1 : 0
        isInside = false
        if number == 3 { break }
        continue
      }
      isInside = true
      let digit = Int64(byte - 0x30)
      switch number {
      case 0: numbers.0 = numbers.0 &* 10 &+ digit
      case 1: numbers.1 = numbers.1 &* 10 &+ digit
      default: numbers.2 = numbers.2 &* 10 &+ digit
      }
    }
    return number == 3 ? numbers.1 - numbers.2 : nil
  }

  private static func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
}

/// Looks at the process's memory a hundred times a second: peaks are short.
package final class MemoryWatch: Sendable {
  private struct Kept: @unchecked Sendable {
    // Unchecked: only held, so that it is not freed.
    let timer: any DispatchSourceTimer
  }
  private let highest = Mutex<Int64>(0)
  private let kept = Mutex<Kept?>(nil)

  package init() {
    let timer = DispatchSource.makeTimerSource(queue: .global())
    timer.schedule(deadline: .now(), repeating: .milliseconds(10))
    timer.setEventHandler { [weak self] in self?.look() }
    timer.resume()
    kept.withLock { [kept = Kept(timer: timer)] in $0 = kept }
  }

  deinit { kept.withLock { $0?.timer.cancel() } }

  /// The most bytes that were seen; no file stands behind them.
  package var peak: Int64 { look() }

  @discardableResult
  private func look() -> Int64 {
    let now = MachineMemory.anonymousBytes() ?? 0
    return highest.withLock {
      $0 = max($0, now)
      return $0
    }
  }
}

extension String {
  fileprivate var trimmingSpacesAndLineEnds: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
