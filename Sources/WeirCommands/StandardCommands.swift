import Foundation

/// Commands that a test server takes on standard input, until the program that started it has ended.
enum StandardCommands {
  /// - Parameter take: carries out a line.
  static func read(_ take: (String) throws -> Void) throws {
    // Started with & from a shell, it must not stop at the terminal's input.
    signal(SIGTTIN, SIG_IGN)
    // SIGTERM ends the process as it always does: there is nothing to save.
    while let line = readLine() { try take(line) }
    // A pipe closes when the program that started this has ended. A terminal and /dev/null (a script's &) say nothing.
    while !isPipe(0) { pause() }
  }

  private static func isPipe(_ descriptor: Int32) -> Bool {
    var info = stat()
    return fstat(descriptor, &info) == 0 && [S_IFIFO, S_IFSOCK].contains(info.st_mode & S_IFMT)
  }
}
