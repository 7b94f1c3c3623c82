import Foundation

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

  private static func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
}

extension String {
  fileprivate var trimmingSpacesAndLineEnds: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
