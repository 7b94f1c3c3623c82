import WeirConfiguration
import WeirCore
import WeirEngine
import WeirLocal
import WeirPlan
import WeirRedis
import WeirRedisSettings
import WeirReport

/// `store: {redis: redis://HOST:PORT/N}`: keys of a Redis server. A place is an address that names secrets and holds none.
struct RedisAdapter: StateTableAdapter {
  var settings: any StateTableSettings.Type { RedisSettings.self }
  var libraries: [LibraryVersion] { [] }
  var section: any StateTableSection { RedisSection() }

  func accepts(_ place: String) -> Bool { RedisSettings.accepts(place) }

  func checked(_ place: String) throws(WeirError) -> String {
    do { return try RedisSettings(place: place).place } catch { throw RedisAdapter.error(error) }
  }

  func place(_ settings: any StateTableSettings, in directory: String) -> String {
    // Of another type it never is: the adapter was found by it.
    (settings as? RedisSettings)?.place ?? "redis://"
  }

  func open(_ place: String, memory: MemoryBudget, thread: BlockingThreads) throws(WeirError) -> any StateTable {
    try RedisAdapter.table(place, isReader: false, partsAtOnce: memory.statePagesMax / 512, thread)
  }

  func read(_ place: String, thread: BlockingThreads) throws(WeirError) -> any StateTableReader {
    try RedisAdapter.table(place, isReader: true, partsAtOnce: 1, thread)
  }

  func costs(_ place: String, _ question: CostQuestion) -> [ServiceCost] { [RedisCost.service(place, question.prices)] }

  /// - Parameter partsAtOnce: about a MiB of rows each, and twice on their way: as rows, and as bytes to send.
  private static func table(
    _ place: String, isReader: Bool, partsAtOnce: Int, _ thread: BlockingThreads
  ) throws(WeirError) -> RedisStateTable {
    let (server, settings) = try RedisAdapter.server(place)
    var limits = RedisStateTable.Limits()
    limits.partsAtOnce = min(limits.partsAtOnce, max(1, partsAtOnce))
    return RedisStateTable(
      server, prefix: settings.prefix,
      connector: connector(settings), isReader: isReader,
      limits: limits, clock: SystemClock(), random: SystemRandom(), thread: thread,
      notice: { Console().talk("state table: \($0) (\(place))") })
  }

  private static func server(_ place: String) throws(WeirError) -> (RedisServer, RedisSettings) {
    let resolved: RedisSettings.Resolved
    do { resolved = try RedisSettings(place: place).resolved { Paths.environment($0) } } catch { throw RedisAdapter.error(error) }
    let settings = resolved.settings
    var server = RedisServer(host: settings.host, port: settings.port, database: settings.database, place: place)
    server.user = settings.userSecret.map(text) ?? settings.user.map(text)
    server.password = settings.password.map(text) ?? resolved.password.map(text)
    server.refused = SecretService.refusal(of: [settings.userSecret, settings.password].compactMap { $0 })
    return (server, settings)
  }

  private static func connector(_ settings: RedisSettings) -> RedisSocketConnector {
    RedisSocketConnector(tls: settings.tls.map(tls), replyMilliseconds: settings.replyMilliseconds)
  }

  func examine(_ place: String, thread: BlockingThreads) async throws(WeirError) -> [StoreFinding] {
    let (server, settings) = try RedisAdapter.server(place)
    return await RedisExamination(
      server, prefix: settings.prefix, connector: RedisAdapter.connector(settings), random: SystemRandom(), thread: thread
    ).run()
  }

  private static func tls(_ spec: TLSSpec) -> RedisSocketConnector.TLS {
    var tls = RedisSocketConnector.TLS()
    (tls.authorities, tls.certificate, tls.checksHostName) = (spec.authorities, spec.certificate, spec.checksHostName)
    tls.key = spec.key.map(text)
    tls.keyPassword = spec.keyPassword.map(text)
    return tls
  }

  /// Read when it is used; an error names the secret's place and never its value.
  private static func text(_ spec: SecretSpec) -> RedisServer.Text { { try spec.read() } }

  private static func text(_ value: String) -> RedisServer.Text { { value } }

  private static func error(_ problem: RedisSettingProblem) -> WeirError {
    WeirError(.config, "the state table's place: \(problem.reason)", advice: Wording(problem.advice))
  }
}
