/// The streams that `weir generate` knows, by the names of the command line.
package enum EventStream: String, Sendable, CaseIterable {
  /// The benchmark's stream, with the fields and statistics of its generator.
  case adEvents = "ad-events"
  case orders, trades, clicks, sensors

  /// The field that is the record's key.
  package var key: String {
    switch self {
    case .adEvents: "user_id"
    case .orders: "customer_id"
    case .trades: "symbol"
    case .clicks: "user_id"
    case .sensors: "sensor_id"
    }
  }

  /// How many keys there are.
  var keys: Int {
    switch self {
    case .adEvents, .clicks: 100_000
    case .orders: 20_000
    case .trades: 500
    case .sensors: 2_000
    }
  }

  private static let adTypes: [StaticString] = ["banner", "modal", "sponsored-search", "mail", "mobile"]
  private static let eventTypes: [StaticString] = ["view", "click", "purchase"]
  private static let statuses: [StaticString] = ["placed", "paid", "shipped", "delivered", "returned"]
  private static let pages: [StaticString] = ["/", "/search", "/product", "/cart", "/checkout", "/help"]

  /// Writes one event, without the line's end.
  /// - Parameters:
  ///   - random: of this event.
  ///   - key: the number of its key.
  ///   - time: its event time, UTC milliseconds since 1970.
  func write(_ random: inout SeededRandom, key: Int, time: Int, into line: inout LineWriter) {
    switch self {
    case .adEvents: adEvent(&random, key, time, &line)
    case .orders: order(&random, key, time, &line)
    case .trades: trade(&random, key, time, &line)
    case .clicks: click(&random, key, time, &line)
    case .sensors: reading(&random, key, time, &line)
    }
  }

  private func adEvent(_ random: inout SeededRandom, _ key: Int, _ time: Int, _ line: inout LineWriter) {
    line.add("{\"event_id\":\"")
    line.add(uuid: random.next(), random.next())
    line.add("\",\"user_id\":\"u")
    line.add(key)
    line.add("\",\"ad_id\":\"ad")
    line.add(random.below(1000), digits: 4)
    line.add("\",\"ad_type\":\"")
    line.add(EventStream.adTypes[random.below(5)])
    line.add("\",\"event_type\":\"")
    line.add(EventStream.eventTypes[random.below(3)])
    line.add("\",\"event_time\":")
    line.add(time)
    line.add(",\"ip_address\":\"")
    let address = random.next()
    for part in 0..<4 {
      if part > 0 { line.add(".") }
      line.add(Int(truncatingIfNeeded: address >> UInt64(8 * part)) & 255)
    }
    line.add("\",\"amount\":")
    line.add(hundredths: random.below(10_000))
    line.add("}")
  }

  private func order(_ random: inout SeededRandom, _ key: Int, _ time: Int, _ line: inout LineWriter) {
    line.add("{\"order_id\":\"")
    line.add(uuid: random.next(), random.next())
    line.add("\",\"customer_id\":\"c")
    line.add(key)
    line.add("\",\"product_id\":\"p")
    line.add(random.below(5000), digits: 4)
    line.add("\",\"quantity\":")
    line.add(1 + random.below(5))
    line.add(",\"price\":")
    line.add(hundredths: 99 + random.below(50_000))
    line.add(",\"status\":\"")
    line.add(EventStream.statuses[random.below(5)])
    line.add("\",\"ordered_at\":")
    line.add(time)
    line.add("}")
  }

  private func trade(_ random: inout SeededRandom, _ key: Int, _ time: Int, _ line: inout LineWriter) {
    line.add("{\"trade_id\":\"")
    line.add(uuid: random.next(), random.next())
    line.add("\",\"symbol\":\"S")
    line.add(key, digits: 3)
    line.add("\",\"side\":\"")
    line.add(random.chance(0.5) ? "buy" : "sell")
    line.add("\",\"price\":")
    // Each symbol has a price of its own, and trades within a per cent of it.
    let base = 1_000 + key * 97 % 50_000
    line.add(hundredths: base + random.below(max(1, base / 50)) - base / 100)
    line.add(",\"size\":")
    line.add(100 * (1 + random.below(20)))
    line.add(",\"traded_at\":")
    line.add(time)
    line.add("}")
  }

  private func click(_ random: inout SeededRandom, _ key: Int, _ time: Int, _ line: inout LineWriter) {
    line.add("{\"click_id\":\"")
    line.add(uuid: random.next(), random.next())
    line.add("\",\"user_id\":\"u")
    line.add(key)
    // A user's visits begin a quarter of an hour apart, at a moment of the user's own.
    line.add("\",\"session_id\":\"u")
    line.add(key)
    line.add("-")
    line.add((time / 1000 + key % 900) / 900)
    line.add("\",\"page\":\"")
    line.add(EventStream.pages[random.below(6)])
    line.add("\",\"milliseconds\":")
    line.add(20 + random.below(2_000))
    line.add(",\"clicked_at\":")
    line.add(time)
    line.add("}")
  }

  private func reading(_ random: inout SeededRandom, _ key: Int, _ time: Int, _ line: inout LineWriter) {
    line.add("{\"reading_id\":\"")
    line.add(uuid: random.next(), random.next())
    line.add("\",\"sensor_id\":\"s")
    line.add(key, digits: 4)
    line.add("\",\"temperature\":")
    line.add(hundredths: 1_500 + key % 1_000 + random.below(300))
    line.add(",\"humidity\":")
    line.add(hundredths: 3_000 + random.below(4_000))
    line.add(",\"read_at\":")
    line.add(time)
    line.add("}")
  }
}
