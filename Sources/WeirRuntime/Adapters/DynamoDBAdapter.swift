import WeirAWS
import WeirConfiguration
import WeirCore
import WeirDynamoDB
import WeirDynamoDBSettings
import WeirEngine
import WeirLocal
import WeirPlan
import WeirReport

/// `store: {dynamodb: TABLE}`: a table of DynamoDB. Its place is `dynamodb://TABLE`.
struct DynamoDBAdapter: StateTableAdapter {
  var settings: any StateTableSettings.Type { DynamoDBSettings.self }
  var libraries: [LibraryVersion] { [] }
  var section: any StateTableSection { DynamoDBSection() }

  func accepts(_ place: String) -> Bool { DynamoDBSettings.accepts(place) }

  func checked(_ place: String) throws(WeirError) -> String {
    do { _ = try DynamoDBSettings(place: place) } catch { throw DynamoDBAdapter.error(error) }
    return place
  }

  func place(_ settings: any StateTableSettings, in directory: String) -> String {
    // Of another type it never is: the adapter was found by it.
    (settings as? DynamoDBSettings)?.place ?? "dynamodb://"
  }

  func open(_ place: String, memory: MemoryBudget, thread: BlockingThreads) throws(WeirError) -> any StateTable {
    try table(place, isReader: false)
  }

  func read(_ place: String, thread: BlockingThreads) throws(WeirError) -> any StateTableReader {
    try table(place, isReader: true)
  }

  func costs(_ place: String, _ question: CostQuestion) -> [ServiceCost] {
    DynamoDBCost.service(place, question.activity, question.inputs)
  }

  func examine(_ place: String, thread: BlockingThreads) async throws(WeirError) -> [StoreFinding] {
    let settings: DynamoDBSettings
    do { settings = try DynamoDBSettings(place: place) } catch { throw DynamoDBAdapter.error(error) }
    return await TableExamination(
      table: settings.table, sender: ConfiguredDynamoDB(settings), clock: SystemClock(), random: SystemRandom(),
      create: settings.create
    ).run()
  }

  private func table(_ place: String, isReader: Bool) throws(WeirError) -> DynamoDBStateTable {
    let settings: DynamoDBSettings
    do { settings = try DynamoDBSettings(place: place) } catch { throw DynamoDBAdapter.error(error) }
    return DynamoDBStateTable(
      table: settings.table, sender: ConfiguredDynamoDB(settings), clock: SystemClock(), random: SystemRandom(),
      readOnly: isReader, create: settings.create, notice: { Console().talk("state table: \($0)") })
  }

  private static func error(_ problem: DynamoDBSettingProblem) -> WeirError {
    WeirError(.config, "the state table's place: \(problem.reason)", advice: "Write dynamodb://TABLE.")
  }
}

/// Reads the configuration of AWS at the first request: opening a table makes none.
private actor ConfiguredDynamoDB: AWSSender {
  nonisolated let endpoint: String
  private let settings: DynamoDBSettings
  private var client: AWSClient?

  init(_ settings: DynamoDBSettings) {
    self.settings = settings
    endpoint = settings.endpoint ?? "DynamoDB in \(settings.region ?? "the configured region")"
  }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    let client: AWSClient
    if let known = self.client { client = known } else { client = try await connect() }
    return try await client.send(request)
  }

  private func connect() async throws(AWSFailure) -> AWSClient {
    let configuration = try await AWSWiring.configuration(region: settings.region)
    let made = try configuration.client(of: .dynamodb, endpoint: settings.endpoint, region: settings.region)
    // Another request may have made one meanwhile.
    let client = client ?? made
    self.client = client
    return client
  }
}
