import WeirKinesisSettings
import WeirPlan

/// A stream of Kinesis and the table with its leases. Other programs share a stream, so only the leases are in the total.
enum KinesisCost {
  /// A put is charged by units of this size, and volume on demand by records rounded up to a KiB (Amazon Kinesis Data Streams, "Pricing").
  private static let payloadBytes = 25.0 * 1024
  /// A row of the table of leases, about: keys of the Kinesis Client Library and Weir's own.
  private static let leaseBytes = 450.0
  /// A worker reads the table and renews its leases this often in the time of a lease.
  private static let roundsPerLease = 3.0
  /// Bytes of a read unit of DynamoDB, consistent.
  private static let readUnitBytes = 4096.0

  static func services(_ spec: KinesisSourceSpec, _ activity: CostActivity, _ inputs: CostInputs) -> [ServiceCost] {
    [leases(spec.settings, activity, inputs)] + stream(spec, inputs)
  }

  /// Each lease is renewed by one write a round, and each worker reads all of them.
  private static func leases(_ settings: KinesisSettingsSpec, _ activity: CostActivity, _ inputs: CostInputs) -> ServiceCost {
    let rounds = roundsPerLease / (Double(settings.leaseMicroseconds) / 1e6)
    let refreshes = 1 / (Double(settings.refreshMicroseconds) / 1e6)
    let shards = inputs[.partitions]
    let unitsOfAll = max(1, (shards * leaseBytes / readUnitBytes).rounded(.up))
    // A page has 1 MB.
    let pages = max(1, (shards * leaseBytes / 1e6).rounded(.up))
    let reads = activity.workers * (rounds + refreshes)
    return ServiceCost(
      "DynamoDB leases", place: settings.app,
      items: [
        CostItem("leases, renewed with their checkpoints", unit: "write units", .dynamoDBWrite, perSecond: shards * rounds),
        CostItem(
          "leases, read by each worker", unit: "read units", .dynamoDBRead, perSecond: reads * unitsOfAll,
          requestsPerSecond: reads * pages),
      ],
      notes: ["source.kinesis.lease decides: a lease is renewed three times in that time; --partitions is the number of shards"])
  }

  private static func stream(_ spec: KinesisSourceSpec, _ inputs: CostInputs) -> [ServiceCost] {
    let (name, isFanOut) = (spec.stream, spec.settings.fanOut != nil)
    let (records, bytes) = (inputs[.recordsPerSecond], inputs[.recordBytes])
    let gigabytes = records * bytes / 1e9
    let rounded = records * (bytes / 1024).rounded(.up) * 1024 / 1e9
    let onDemand = ServiceCost(
      "Kinesis on demand", place: name, isAlternative: true,
      items: [
        CostItem("the stream", unit: "stream-hours", .kinesisOnDemandStream, perSecond: 1.0 / 3600),
        CostItem("written by producers, each record rounded up to 1 KiB", unit: "GB in", .kinesisOnDemandIn, perSecond: rounded),
        isFanOut
          ? CostItem("sent to Weir by enhanced fan-out", unit: "GB out", .kinesisOnDemandFanOut, perSecond: gigabytes)
          : CostItem("read by Weir", unit: "GB out", .kinesisOnDemandOut, perSecond: gigabytes),
      ], notes: ["values only: keys add to it, and aggregated records take from it; retention beyond 24 hours is not included"])
    let provisioned = ServiceCost(
      "Kinesis provisioned", place: name, isAlternative: true,
      items: [
        CostItem("the shards", unit: "shard-hours", .kinesisShard, perSecond: inputs[.partitions] / 3600),
        CostItem(
          "written by producers, in units of 25 KB", unit: "payload units", .kinesisPut,
          perSecond: records * (bytes / payloadBytes).rounded(.up), requestsPerSecond: records),
      ] + (isFanOut ? fanOut(inputs[.partitions], gigabytes) : []),
      notes: [
        isFanOut
          ? "read: fan_out: the application's consumer is charged for each shard and hour, and for what it gets; its workers share it"
          : "reading costs nothing: GetRecords is included in a shard's price, up to five requests and 2 MB per second for all readers",
        "retention beyond 24 hours is not included",
      ])
    return [onDemand, provisioned]
  }

  /// One consumer, subscribed to all shards.
  private static func fanOut(_ shards: Double, _ gigabytes: Double) -> [CostItem] {
    [
      CostItem("enhanced fan-out: the consumer, per shard", unit: "consumer-shard-hours", .kinesisFanOutShard, perSecond: shards / 3600),
      CostItem("enhanced fan-out: sent to Weir", unit: "GB out", .kinesisFanOutOut, perSecond: gigabytes),
    ]
  }
}
