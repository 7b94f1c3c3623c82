import WeirAWS
import WeirCore
import WeirGlueSettings

/// The Glue Data Catalog (API version 2017-03-31, JSON 1.1): one database, with the tables of a pipeline.
///
/// A table is made if it is missing, and changed only if this pipeline made it (``GlueTable/owner``). What another program writes between our
/// read and our change is not lost: the change names the version that was read, and is derived again from the next.
package struct GlueCatalog: TableCatalog {
  /// Of one table: after others were first.
  private static let attemptsMax = 5
  private static let pauseNanoseconds: Int64 = 200_000_000
  private static let answerBytesMax = 8 << 20

  private let settings: GlueSettings
  private let pipeline: String
  private let sender: any AWSSender
  private let clock: any Clock
  private let random: any RandomSource

  package init(_ settings: GlueSettings, pipeline: String, sender: any AWSSender, clock: any Clock, random: any RandomSource) {
    (self.settings, self.pipeline, self.sender, self.clock, self.random) = (settings, pipeline, sender, clock, random)
  }

  package var place: String { "the Glue database \(settings.database)" }

  package func name(of table: CatalogTable) -> String { "\(settings.database).\(GlueNames.table(table.path, prefix: settings.prefix))" }

  // MARK: Database

  package func prepare() async throws(WeirError) {
    if try await send("GetDatabase", ["Name": .string(settings.database)]) != .missing { return }
    guard settings.create else {
      throw WeirError(
        .config, "\(place) does not exist, and create: false forbids to make it",
        advice: "Create the database, or remove create: false. If it exists, check its name, the account and the region.")
    }
    // Another worker may have made it meanwhile.
    _ = try await send(
      "CreateDatabase",
      ["DatabaseInput": .members(["Name": .string(settings.database), "Description": .string("Tables of Weir's pipelines")])])
  }

  // MARK: Tables

  package func register(_ table: CatalogTable) async throws(WeirError) -> CatalogChange {
    let name = GlueNames.table(table.path, prefix: settings.prefix)
    let wanted = GlueTable(name: name, table: table, pipeline: pipeline)
    for attempt in 0..<GlueCatalog.attemptsMax {
      if attempt > 0 {
        let most = GlueCatalog.pauseNanoseconds << Int64(attempt)
        await clock.sleep(nanoseconds: most / 2 + Int64(random.next() % UInt64(most / 2)))
      }
      let answer = try await send("GetTable", ["DatabaseName": .string(settings.database), "Name": .string(name)])
      guard case .found(let json) = answer, let old = json["Table"], !old.isNull else {
        let made = try await send("CreateTable", ["DatabaseName": .string(settings.database), "TableInput": wanted.input()])
        if case .found = made { return .created }
        continue
      }
      if let refusal = wanted.refusal(of: old) {
        throw WeirError(
          .foreignTable, "the table \(name) of \(place) is not \(table.path) of the pipeline \(pipeline): \(refusal)",
          advice: "Weir leaves it alone. Choose another database or a prefix for the names, or remove the table from the catalogue.")
      }
      if wanted.isUpToDate(old) { return .none }
      var change: [JSONValue.Member] = [
        .init("DatabaseName", .string(settings.database)), .init("TableInput", wanted.input(over: old)),
      ]
      if let version = old["VersionId"]?.string { change.append(.init("VersionId", .string(version))) }
      if case .found = try await send("UpdateTable", .object(change)) { return .updated }
    }
    throw WeirError(
      .unavailable, "other programs change the table \(name) of \(place) all the time",
      advice: "Check the network and the catalogue's throttling.")
  }

  // MARK: Look

  /// What workers will find, for `weir doctor`: the database, and tables of its own names. Changes nothing.
  package func examine(_ tables: [CatalogTable]) async -> [StoreFinding] {
    let what = "the database can be read"
    do throws(WeirError) {
      if try await send("GetDatabase", ["Name": .string(settings.database)]) == .missing {
        if settings.create { return [StoreFinding(what: "the database is not there yet: the first worker creates it")] }
        return [
          StoreFinding(what: what, problem: "it does not exist, and create: false forbids to make it. Create it, or remove create: false.")
        ]
      }
    } catch { return [StoreFinding(what: what, problem: error.wording.description)] }
    var findings = [StoreFinding(what: what)]
    var registered = 0
    for table in tables {
      let name = GlueNames.table(table.path, prefix: settings.prefix)
      do throws(WeirError) {
        let answer = try await send("GetTable", ["DatabaseName": .string(settings.database), "Name": .string(name)])
        guard case .found(let json) = answer, let old = json["Table"], !old.isNull else { continue }
        registered += 1
        guard let refusal = GlueTable(name: name, table: table, pipeline: pipeline).refusal(of: old) else { continue }
        findings.append(
          StoreFinding(
            what: "the table \(name) is \(table.path) of the pipeline \(pipeline)",
            problem: "\(refusal). Choose another database or a prefix for the names, or remove the table from the catalogue."))
      } catch {
        findings.append(StoreFinding(what: "the table \(name) can be read", problem: error.wording.description))
        // The others have the same permissions and service.
        return findings
      }
    }
    findings.append(
      StoreFinding(
        what: "\(registered) of \(tables.count) tables are registered\(registered < tables.count ? ": workers register the others" : "")"))
    return findings
  }

  // MARK: Requests

  private enum Answer: Equatable {
    case found(JSONValue)
    /// Database or table.
    case missing
    /// Another program was first, or it is unknown whether the request had its effect: read, and derive it again.
    case overtaken
  }

  private func send(_ operation: String, _ members: KeyValuePairs<String, JSONValue>) async throws(WeirError) -> Answer {
    try await send(operation, .members(members))
  }

  private func send(_ operation: String, _ body: JSONValue) async throws(WeirError) -> Answer {
    var request = AWSRequest(
      operation, method: "POST",
      headers: [.init("Content-Type", "application/x-amz-json-1.1"), .init("X-Amz-Target", "AWSGlue.\(operation)")], body: body.bytes)
    request.answerBytesMax = GlueCatalog.answerBytesMax
    let response: AWSResponse
    do throws(AWSFailure) { response = try await sender.send(request) } catch {
      return try answer(error.code, error, operation)
    }
    let json = (try? JSONValue(parsing: response.body)) ?? .null
    if (200..<300).contains(response.status), json.members != nil || response.body.isEmpty { return .found(json) }
    let code = json["__type"]?.string.map { String($0.split(separator: "#").last ?? "") } ?? "HTTP\(response.status)"
    return try answer(
      code, AWSFailure(.fatal, code: code, message: "\(operation): HTTP \(response.status) \(code.shortened(toBytes: 100))"), operation)
  }

  private func answer(_ code: String, _ failure: AWSFailure, _ operation: String) throws(WeirError) -> Answer {
    switch code {
    case "EntityNotFoundException" where operation != "CreateTable": return operation == "UpdateTable" ? .overtaken : .missing
    case "AlreadyExistsException", "ConcurrentModificationException", "VersionMismatchException", "ConcurrentRunsExceededException":
      return .overtaken
    default: break
    }
    if failure.kind == .unknown, operation != "GetTable", operation != "GetDatabase" { return .overtaken }
    throw error(code, failure, operation)
  }

  private func error(_ code: String, _ failure: AWSFailure, _ operation: String) -> WeirError {
    switch code {
    case "EntityNotFoundException":
      WeirError(
        .config, "\(place) does not exist: \(failure.message)",
        advice:
          "It was deleted, or is of another account or region. \(settings.create ? "A worker makes it" : "Create it, or remove create: false: a worker uses it") at its next attempt."
      )
    case "AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "ExpiredTokenException":
      WeirError(
        .storageRefused, "\(place) refused \(operation): \(failure.message)",
        advice: Wording("Allow glue:\(operation) on the catalogue, the database and its tables to the worker's role or user."))
    case "InvalidInputException", "ValidationException":
      WeirError(
        .storageRefused, "\(place) does not take \(operation): \(failure.message)",
        advice: "Choose names for database, tables and columns that Glue accepts: lower-case letters, digits and underscores.")
    case _ where failure.kind == .fatal && failure.status == 0:
      WeirError(.storageRefused, "\(place) cannot be used: \(failure.message)", advice: "Check region, endpoint and credentials of AWS.")
    case _ where failure.kind == .fatal:
      WeirError(
        .storageRefused, "\(place) refused \(operation): \(failure.message)",
        advice: "Check the database's name, the account, the region and the permissions of the worker's role or user.")
    default:
      WeirError(
        .unavailable, "\(place) did not do \(operation): \(failure.message)",
        advice: "Check the network, the catalogue's endpoint and its throttling.")
    }
  }
}
