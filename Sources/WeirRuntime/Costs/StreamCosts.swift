import WeirPlan

/// A Redis server: by the hour, whatever is written.
enum RedisCost {
  static func service(_ place: String, _ prices: PriceTable) -> ServiceCost {
    let hours = CostItem("node-hours", unit: "node-hours", .redisNode, perSecond: 1.0 / 3600)
    let note =
      prices[.redisNode] == nil
      ? "a node has no built-in price, since it depends on its size: give redis_node with --prices"
      : "one node; replicas and further nodes are not included"
    return ServiceCost(
      "Redis", place: place, items: [hours], notes: [note, "requests cost nothing; all rows must fit in the node's memory"])
  }
}

/// Kafka on Amazon MSK: what the rate and the partitions say. Other programs share a cluster, so nothing of it is in the total.
enum KafkaCost {
  static func services(_ place: String, _ activity: CostActivity, _ inputs: CostInputs) -> [ServiceCost] {
    let gigabytes = activity.inputBytesPerSecond / 1e9
    let serverless = ServiceCost(
      "MSK Serverless", place: place, isAlternative: true,
      items: [
        CostItem("the cluster", unit: "cluster-hours", .mskServerlessCluster, perSecond: 1.0 / 3600),
        CostItem("partitions", unit: "partition-hours", .mskServerlessPartition, perSecond: inputs[.partitions] / 3600),
        CostItem("written by producers", unit: "GB in", .mskServerlessIn, perSecond: gigabytes),
        CostItem("read by Weir", unit: "GB out", .mskServerlessOut, perSecond: gigabytes),
      ], notes: ["values only: keys, headers and the protocol add to it, and compression takes from it; storage is not included"])
    let provisioned = ServiceCost(
      "MSK provisioned", place: place, isAlternative: true,
      items: [CostItem("one kafka.m5.large of at least two brokers", unit: "broker-hours", .mskBroker, perSecond: 1.0 / 3600)],
      notes: [
        "how many brokers a cluster needs does not follow from the plan: Weir reads each record once, \(CostText.number(activity.inputBytesPerSecond / 1e6)) MB per second",
        "requests and partitions cost nothing; storage is not included",
      ])
    return [serverless, provisioned]
  }
}
