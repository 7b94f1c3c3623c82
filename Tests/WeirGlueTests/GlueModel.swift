import Synchronization
import WeirAWS
import WeirCore

/// Databases and tables in memory, with Glue's answers, and what happens to single requests.
final class GlueModel: AWSSender {
  enum Fault: Sendable {
    /// It has its effect, and the answer is lost.
    case lostReply
    case failure(AWSFailure)
    /// Another program does this first.
    case after(@Sendable (inout State) -> Void)
  }

  struct Table: Sendable {
    var input: JSONValue
    var version = 0
  }

  struct State: Sendable {
    var databases: [String: [String: Table]] = [:]
    var requests: [String] = []
    var faults: [String: [Fault]] = [:]
  }

  let endpoint = "https://glue.model"
  let state: Mutex<State>

  init(_ databases: [String: [String: Table]] = [:]) { state = Mutex(State(databases: databases)) }

  var requests: [String] { state.withLock { $0.requests } }

  func with(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }

  func table(_ name: String, in database: String = "lake") -> JSONValue? { state.withLock { $0.databases[database]?[name]?.input } }

  func columns(_ name: String) -> [String] {
    (table(name)?["StorageDescriptor"]?["Columns"]?.array ?? []).map { "\($0["Name"]?.string ?? "") \($0["Type"]?.string ?? "")" }
  }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    let target = request.headers.first { $0.name == "X-Amz-Target" }?.value
    guard target == "AWSGlue.\(request.operation)", let body = try? JSONValue(parsing: request.body) else {
      throw AWSFailure(.fatal, code: "InvalidInputException", message: "not a request of Glue", status: 400)
    }
    let answer: Result<JSONValue, AWSFailure> = state.withLock { state in
      state.requests.append(request.operation)
      let fault = state.faults[request.operation]?.isEmpty == false ? state.faults[request.operation]?.removeFirst() : nil
      if case .failure(let failure) = fault { return .failure(failure) }
      if case .after(let change) = fault { change(&state) }
      let answer = GlueModel.answer(request.operation, body, &state)
      if case .lostReply = fault { return .failure(AWSFailure(.unknown, code: "Timeout", message: "no answer")) }
      return answer
    }
    return AWSResponse(status: 200, body: try answer.get().bytes)
  }

  private static func refusal(_ code: String) -> Result<JSONValue, AWSFailure> {
    .failure(AWSFailure(.fatal, code: code, message: "\(code): model", status: 400))
  }

  private static func answer(_ operation: String, _ body: JSONValue, _ state: inout State) -> Result<JSONValue, AWSFailure> {
    let input = body["TableInput"] ?? .null
    let name = body["Name"]?.string ?? input["Name"]?.string ?? body["DatabaseInput"]?["Name"]?.string ?? ""
    let database = body["DatabaseName"]?.string ?? name
    if operation == "CreateDatabase" {
      guard state.databases[database] == nil else { return refusal("AlreadyExistsException") }
      state.databases[database] = [:]
      return .success(.object([]))
    }
    guard let tables = state.databases[database] else { return refusal("EntityNotFoundException") }
    switch operation {
    case "GetDatabase": return .success(.members(["Database": .members(["Name": .string(database)])]))
    case "GetTable":
      guard let table = tables[name] else { return refusal("EntityNotFoundException") }
      let more: [JSONValue.Member] = [
        .init("DatabaseName", .string(database)), .init("VersionId", .string("\(table.version)")), .init("CatalogId", .string("1")),
      ]
      return .success(.members(["Table": .object((table.input.members ?? []) + more)]))
    case "CreateTable":
      guard tables[name] == nil else { return refusal("AlreadyExistsException") }
      state.databases[database]?[name] = Table(input: input)
      return .success(.object([]))
    case "UpdateTable":
      guard let table = tables[name] else { return refusal("EntityNotFoundException") }
      guard body["VersionId"]?.string == "\(table.version)" else { return refusal("ConcurrentModificationException") }
      // Members of GetTable's answer that UpdateTable does not take.
      guard input["DatabaseName"] == nil, input["VersionId"] == nil, input["CatalogId"] == nil else {
        return refusal("InvalidInputException")
      }
      state.databases[database]?[name] = Table(input: input, version: table.version + 1)
      return .success(.object([]))
    default: return refusal("InvalidInputException")
    }
  }
}
