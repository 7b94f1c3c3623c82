import WeirLoad

/// The pipeline of `weir demo`, and the stream that it reads. Both can be made with commands, too: the pipeline's first lines name them.
enum DemoPipeline {
  static let name = "demo"
  static let stateTable = "customers"
  static let count = 20_000

  /// As `weir generate` with the options in ``text``.
  static var stream: GeneratorSettings {
    var settings = GeneratorSettings(.orders)
    settings.rate = 1_000
    settings.duplicates = 0.1
    settings.malformed = 0.002
    return settings
  }

  static let text = """
    # The pipeline of `weir demo`. To run it yourself:
    #   weir demo --show-pipeline > orders.yaml
    #   weir generate orders --count 20000 --rate 1000 --duplicates 0.1 --malformed 0.002 --out orders.ndjson
    #   weir check orders.yaml
    #   weir replay orders.yaml --capture orders.ndjson
    pipeline: demo
    source: {capture: {stream: orders}}                 # the files are named on the command line
    record:
      format: json
      key: customer_id                                  # all orders of a customer are processed in order
      time: {field: ordered_at, out_of_order: 500ms}    # watermark = largest event time - 500 ms
      fields:                                           # ! means required
        order_id: string!
        customer_id: string!
        product_id: string!
        quantity: int64!
        price: "decimal(9,2)!"
        status: string!
        ordered_at: timestamp_ms!
    checks:
      - {name: plausible, that: "quantity * price < 2400"}                     # else: quarantine
      - {name: not_returned, that: "status <> 'returned'", else: drop}         # filtered
    dedup: {id: order_id, within: 1m}                   # the same order twice within a minute counts once
    bronze: {}                                          # every record as received
    silver: {columns: "*, quantity * price as amount"}  # accepted records
    gold:
      revenue:                                          # one row per status and 10 seconds
        by: [status]
        window: {tumbling: 10s, lateness: 0s}           # final when the watermark passes its end; later records go to the table late
        measure: {orders: count(), revenue: sum(quantity * price)}
    state:
      customers:                                        # one row per customer, updated as records arrive
        by: [customer_id]
        measure: {orders: count(), spent: sum(quantity * price), last_order: max(ordered_at)}
    lake: {path: lake}
    store: {lmdb: state}

    """
}
