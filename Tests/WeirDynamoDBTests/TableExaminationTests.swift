import Testing
import WeirCore

@testable import WeirDynamoDB

/// What `weir doctor` says of a table's settings: JSON in, findings out.
@Suite struct TableExaminationTests {
  private static func json(_ text: String) throws -> JSONValue { try JSONValue(parsing: text.utf8) }

  private static func table(_ more: String, range: String = "B") throws -> [StoreFinding] {
    TableExamination.table(
      try json(
        """
        {"TableStatus": "ACTIVE", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "\(range)"}]\(more)}
        """))
  }

  @Test func `keys of other types are a problem`() throws {
    let demand = #", "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}"#
    #expect(try TableExaminationTests.table(demand).allSatisfy { $0.problem == nil && $0.notice == nil })
    #expect(try TableExaminationTests.table(demand, range: "S").contains { $0.problem?.contains("sk (S, RANGE)") == true })
    #expect(TableExamination.table(.null).contains { $0.problem?.contains("none") == true })
  }

  @Test func `provisioned capacity is a notice with its units`() throws {
    let findings = try TableExaminationTests.table(#", "ProvisionedThroughput": {"WriteCapacityUnits": 7, "ReadCapacityUnits": 5}"#)
    #expect(findings.contains { $0.notice?.contains("7 write and 5 read units") == true }, "\(findings)")
  }

  @Test func `TTL on an attribute of a row is a problem`() throws {
    func finding(_ attribute: String, _ status: String = "ENABLED") throws -> StoreFinding {
      TableExamination.timeToLive(
        try TableExaminationTests.json(#"{"TimeToLiveDescription": {"TimeToLiveStatus": "\#(status)", "AttributeName": "\#(attribute)"}}"#))
    }
    for attribute in ["fence", "lane", "measures", "flush", "value", "keys", "guard"] { #expect(try finding(attribute).problem != nil) }
    for harmless in [try finding("expires"), try finding("fence", "DISABLED")] { #expect(harmless.problem == nil) }
    #expect(TableExamination.timeToLive(.null) == StoreFinding(what: "TTL is off"))
  }
}
