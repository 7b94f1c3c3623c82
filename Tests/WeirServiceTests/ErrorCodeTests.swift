import Foundation
import Testing
import WeirCore

/// The table of codes in the program and the one on the page Errors say the same.
@Suite struct ErrorCodeTests {
  /// The rows of the page: code, and the words under "retriable" and "ends".
  private func page() throws -> [(code: String, retriable: String, ends: String)] {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(contentsOf: root.appendingPathComponent("Sources/WeirCommands/Weir.docc/Errors.md"), encoding: .utf8)
    return text.split(separator: "\n").filter { $0.hasPrefix("| `") }.flatMap { line in
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      return cells[0].split(separator: ",").map { code in
        (code: code.trimmingCharacters(in: CharacterSet(charactersIn: " `")), retriable: cells[1], ends: cells[2])
      }
    }
  }

  @Test func everyCodeHasOneRowOnThePageErrorsWithItsRule() throws {
    let rows = try page()
    #expect(Set(rows.map(\.code)) == Set(WeirError.Code.allCases.map(\.rawValue)))
    #expect(rows.count == WeirError.Code.allCases.count, "a code has two rows")
    for row in rows {
      guard let code = WeirError.Code(rawValue: row.code) else { continue }
      #expect(row.retriable == (code.rule.isRetriable ? "yes" : "no"), "\(row.code)")
      #expect(row.ends == code.rule.fatalTo.rawValue, "\(row.code)")
    }
  }

  @Test func whatPassesByItselfIsSafeToRepeat() {
    for code in WeirError.Code.allCases where code.rule.isRetriable { #expect(code.rule.isSafeToRepeat, "\(code)") }
  }

  @Test func anErrorHasWhatItsCodeSays() {
    for code in WeirError.Code.allCases {
      let error = WeirError(code, "m", advice: "a")
      #expect(error.isRetriable == code.rule.isRetriable && error.fatalTo == code.rule.fatalTo, "\(code)")
      #expect(error.isSafeToRepeat == code.rule.isSafeToRepeat && error.description == "m\n  a")
    }
  }
}
