import WeirCore
import WeirDynamoDBSettings
import WeirPlan
import Yams

/// `store: {dynamodb: TABLE}`, or with settings: `store: {dynamodb: {table: TABLE, region: …, endpoint: …, create: false}}`.
package struct DynamoDBSection: StateTableSection {
  package init() {}

  package var settings: any StateTableSettings.Type { DynamoDBSettings.self }
  package var shape: ValueShape { .either([.text, .table(.dynamoDB)]) }

  package func read(_ node: Node?, with loader: PipelineLoader) -> (any StateTableSettings)? { node.flatMap { loader.dynamoDB($0) } }

  /// At this interval 100,000 keys that change all the time cost 22.50 $ an hour.
  private static let secondsMin = 10.0
  private static let keys = 100_000.0

  package func warning(flushMicroseconds: Int64) -> String? {
    let seconds = Double(flushMicroseconds) / 1e6
    guard seconds < DynamoDBSection.secondsMin, let price = PriceTable.builtIn[.dynamoDBWrite] else { return nil }
    func dollars(every seconds: Double) -> String { CostText.dollars(DynamoDBSection.keys * 3600 / seconds * price.each) }
    let (now, then) = (dollars(every: seconds), dollars(every: DynamoDBSection.secondsMin))
    return
      "store.flush is \(CostText.number(seconds)) s, and DynamoDB charges each row of each flush: 100,000 keys that change all the time "
      + "cost \(now) $ per hour, and \(then) $ with flush: 10s. Set store.flush to 10s or more, or to what weir explain --cost shows for your keys"
  }
}

extension PipelineLoader {
  fileprivate func dynamoDB(_ node: Node) -> DynamoDBSettings? {
    let what = "store.dynamodb"
    var settings: DynamoDBSettings
    var members: [String: Node] = [:]
    if node.mapping == nil {
      guard let table = reader.string(node, what) else { return nil }
      settings = DynamoDBSettings(table: table)
    } else {
      members = reader.mapping(node, what, .dynamoDB)
      guard let named = reader.required(members, "table", of: what, at: node), let table = reader.string(named, "\(what).table") else {
        return nil
      }
      settings = DynamoDBSettings(table: table)
      settings.region = members["region"].flatMap { reader.string($0, "\(what).region") }
      settings.endpoint = members["endpoint"].flatMap { reader.string($0, "\(what).endpoint") }
      if let create = members["create"].flatMap({ reader.choice($0, "\(what).create", ["true", "false"]) }) {
        settings.create = create == "true"
      }
    }
    if let problem = settings.problem {
      let place = problem.setting.flatMap { members[$0] } ?? node
      reader.report("\(members.isEmpty ? what : "\(what).\(problem.setting ?? "")"): \(problem.reason)", "bad_value", at: place)
    }
    return settings
  }
}
