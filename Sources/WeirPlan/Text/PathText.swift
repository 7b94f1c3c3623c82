import Foundation
import WeirCore
import WeirS3Settings

/// Texts that are given as paths of this machine's file system, and mean something else.
///
/// The file system would take nearly all of them: a directory named `s3:` or `~`, or, for the empty text, one in `/`. So every path
/// that a user writes passes here first: options of commands, and settings of a pipeline file.
package enum PathText {
  package struct Problem: Equatable {
    /// Continues `PLACE: `.
    package var reason: String
    package var advice: String
    /// It names a kind of storage that a later version may support.
    package var isLater = false
  }

  /// nil: it can be a path.
  package static func problem(_ text: String) -> Problem? {
    if text.allSatisfy(\.isWhitespace) {
      return Problem(reason: "the path is empty", advice: "Name a directory or file; . is the current directory.")
    }
    if text.contains("\0") { return Problem(reason: "the path has a zero byte in it", advice: "Write the path without it.") }
    if let scheme = scheme(of: text) {
      if scheme == "file" {
        let rest = text.dropFirst(5)
        let path = (rest.hasPrefix("/") ? "/" : "") + rest.drop { $0 == "/" }
        return Problem(reason: "\(text) is an address, and not a path", advice: "Write the path itself: \(path)")
      }
      return Problem(
        reason: "\(text) is an address (\(text.prefix(scheme.count)):), and only directories and files of this machine can be used",
        advice: "Name a directory or file; ./\(text) is one with this name.", isLater: PathText.storages.contains(scheme))
    }
    if text.hasPrefix("~") {
      let home = text == "~" || text.hasPrefix("~/") ? Paths.environment("HOME").map { $0 + text.dropFirst() } : nil
      return Problem(
        reason: "\(text) begins with ~, which only a shell replaces",
        advice: "Write the whole path\(home.map { ", such as \($0)" } ?? ""); ./\(text) is one with this name.")
    }
    if text.hasPrefix("$"), let second = text.dropFirst().first, second == "{" || second == "_" || second.isLetter {
      return Problem(
        reason: "\(text) begins with a variable, which only a shell replaces",
        advice: "Write the path itself; ./\(text) is one with this name.")
    }
    return nil
  }

  /// Schemes of object stores, which a later version may support.
  private static let storages: Set<String> = [
    "s3", "s3a", "s3n", "gs", "gcs", "r2", "az", "adl", "abfs", "abfss", "wasb", "wasbs", "hdfs", "oss", "minio",
  ]

  /// What comes before the first colon, if it has the form of a scheme (RFC 3986, section 3.1), whether or not slashes follow: `s3` of
  /// `s3://bucket/lake` and of `s3:/bucket`, `file` of `file:x`, the drive letter of `C:/data`. No list of schemes could be complete.
  private static func scheme(of text: String) -> String? {
    guard let colon = text.firstIndex(of: ":") else { return nil }
    let scheme = text[..<colon].lowercased()
    guard let first = scheme.first, first.isASCII, first.isLetter,
      scheme.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) })
    else { return nil }
    return scheme
  }

  /// For a text such as `s3:/bucket`, `s3a://bucket` or `s3//bucket`: the words that name the address it means; nil: it means none.
  private static func meantBucket(_ text: String) -> String? {
    let start = text.prefix { $0 != "/" && $0 != ":" && $0 != "\\" }
    guard ["s3", "s3a", "s3n"].contains(start.lowercased()) else { return nil }
    let rest = text[start.endIndex...]
    guard rest.hasPrefix(":") || rest.hasPrefix("//") else { return nil }
    let place = rest.drop { ":/\\".contains($0) }.replacing("\\", with: "/")
    return S3Location.isPlace(place) ? ": s3://\(place)" : ""
  }

  /// The place of a lake: a path, or `s3://bucket/prefix`. nil: it can be one.
  package static func lakeProblem(_ text: String) -> Problem? {
    guard S3Location.accepts(text) else {
      var problem = problem(text)
      if let meant = meantBucket(text) {
        let advice = "A bucket is written s3://BUCKET/PREFIX\(meant); ./\(text) is a directory with this name."
        if problem == nil { problem = Problem(reason: "\(text) is not an address of S3, and is not meant as a directory", advice: advice) }
        problem?.advice = advice
      }
      return problem
    }
    do throws(WeirError) {
      _ = try S3Location(text)
      return nil
    } catch {
      return Problem(reason: error.message, advice: error.advice?.description ?? "")
    }
  }

  /// The place of a lake that an option names.
  /// - Throws: `config` where it is none.
  package static func checkedLake(_ text: String, _ option: String) throws(WeirError) -> String {
    guard let problem = lakeProblem(text) else { return Paths.lake(text) }
    throw WeirError(.config, "\(option): \(problem.reason)", advice: Wording(problem.advice))
  }

  /// The path of an option.
  /// - Throws: `config` where it is none.
  package static func checked(_ text: String, _ option: String) throws(WeirError) -> String {
    guard let problem = problem(text) else { return text }
    throw WeirError(.config, "\(option): \(problem.reason)", advice: Wording(problem.advice))
  }
}
