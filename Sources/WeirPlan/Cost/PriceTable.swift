import WeirCore

/// What a unit of each kind costs.
package struct PriceTable: Sendable, Hashable {
  /// Names in a file of prices. They are a contract: files of users have them.
  package enum Name: String, Sendable, CaseIterable {
    case s3Put = "s3_put"
    case s3List = "s3_list"
    case s3Get = "s3_get"
    case s3Storage = "s3_storage"
    case dynamoDBWrite = "dynamodb_write"
    case dynamoDBRead = "dynamodb_read"
    case dynamoDBStorage = "dynamodb_storage"
    case dynamoDBProvisionedWrite = "dynamodb_provisioned_write"
    case dynamoDBProvisionedRead = "dynamodb_provisioned_read"
    case redisNode = "redis_node"
    case mskServerlessCluster = "msk_serverless_cluster"
    case mskServerlessPartition = "msk_serverless_partition"
    case mskServerlessIn = "msk_serverless_in"
    case mskServerlessOut = "msk_serverless_out"
    case mskBroker = "msk_broker"
    case mskStorage = "msk_storage"
    case kinesisShard = "kinesis_shard"
    case kinesisPut = "kinesis_put"
    case kinesisOnDemandStream = "kinesis_on_demand_stream"
    case kinesisOnDemandIn = "kinesis_on_demand_in"
    case kinesisOnDemandOut = "kinesis_on_demand_out"
    case kinesisFanOutShard = "kinesis_fan_out_shard"
    case kinesisFanOutOut = "kinesis_fan_out_out"
    case kinesisOnDemandFanOut = "kinesis_on_demand_fan_out"
  }

  package struct Price: Sendable, Hashable {
    /// For ``per`` units.
    package var dollars: Double
    package var per: Double
    package var unit: String

    package init(_ dollars: Double, per: Double = 1, _ unit: String) { (self.dollars, self.per, self.unit) = (dollars, per, unit) }

    package var each: Double { dollars / per }
  }

  /// When the prices were looked up: `YYYY-MM` or `YYYY-MM-DD`.
  package var date: String
  package var region: String
  /// Where they are from.
  package var source: String
  package var prices: [Name: Price]
  /// Those of ``builtIn`` in a table of another region: a file did not have them.
  package var foreign: Set<Name> = []

  package init(date: String, region: String, source: String, prices: [Name: Price]) {
    (self.date, self.region, self.source, self.prices) = (date, region, source, prices)
  }

  package subscript(_ name: Name) -> Price? { prices[name] }
}

extension PriceTable {
  /// List prices of us-east-1 in US dollars, without free tiers, discounts and taxes.
  ///
  /// Date: September 2026. Source: public guides to AWS's price list, for S3 Standard (requests, the first 50 TB of storage) and DynamoDB
  /// (Standard table class, on demand). DynamoDB's provisioned capacity and MSK: public guides of 2025 and 2026, which agree with each other.
  /// Kinesis: the list prices of 2025, standard on-demand mode and provisioned shards, each with enhanced fan-out.
  /// Nothing here was compared with a bill. Amazon's own pages decide: https://aws.amazon.com/s3/pricing,
  /// https://aws.amazon.com/dynamodb/pricing, https://aws.amazon.com/msk/pricing,
  /// https://aws.amazon.com/kinesis/data-streams/pricing.
  ///
  /// A node of Redis has no price here: it depends on the size that a user chooses.
  package static let builtIn = PriceTable(
    date: "2026-09", region: "us-east-1", source: "public guides to AWS's list prices; check before use",
    prices: [
      .s3Put: Price(0.005, per: 1000, "PUT, COPY or POST requests"),
      .s3List: Price(0.005, per: 1000, "LIST requests"),
      .s3Get: Price(0.0004, per: 1000, "GET requests"),
      .s3Storage: Price(0.023, "GB-month"),
      .dynamoDBWrite: Price(0.625, per: 1_000_000, "write units"),
      .dynamoDBRead: Price(0.125, per: 1_000_000, "read units"),
      .dynamoDBStorage: Price(0.25, "GB-month"),
      .dynamoDBProvisionedWrite: Price(0.00065, "write unit per second, for an hour"),
      .dynamoDBProvisionedRead: Price(0.00013, "read unit per second, for an hour"),
      .mskServerlessCluster: Price(0.75, "cluster-hour"),
      .mskServerlessPartition: Price(0.0015, "partition-hour"),
      .mskServerlessIn: Price(0.10, "GB in"),
      .mskServerlessOut: Price(0.05, "GB out"),
      // kafka.m5.large.
      .mskBroker: Price(0.21, "broker-hour"),
      .mskStorage: Price(0.10, "GB-month"),
      .kinesisShard: Price(0.015, "shard-hour"),
      .kinesisPut: Price(0.014, per: 1_000_000, "payload units of 25 KB"),
      .kinesisOnDemandStream: Price(0.04, "stream-hour"),
      .kinesisOnDemandIn: Price(0.08, "GB in"),
      .kinesisOnDemandOut: Price(0.04, "GB out"),
      .kinesisFanOutShard: Price(0.015, "consumer-shard-hour"),
      .kinesisFanOutOut: Price(0.013, "GB out by enhanced fan-out"),
      .kinesisOnDemandFanOut: Price(0.05, "GB out by enhanced fan-out"),
    ])

  /// The table as a file that `--prices` reads.
  package var yaml: String {
    var out = [
      "# Prices in US dollars: edit what differs, and pass the file to weir explain --cost with --prices.",
      "# A price that is left out is the built-in one.",
      "date: \"\(date)\"", "region: \(region)", "source: \"\(source)\"", "prices:",
    ]
    for name in Name.allCases {
      guard let price = prices[name] else {
        out.append("  # \(name.rawValue): {dollars: 0.2, per: 1}   # none built in")
        continue
      }
      out.append("  \(name.rawValue): {dollars: \(CostText.number(price.dollars)), per: \(CostText.number(price.per))}   # \(price.unit)")
    }
    return out.joined(separator: "\n")
  }
}
