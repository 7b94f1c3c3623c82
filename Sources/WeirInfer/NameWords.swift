/// The words of a name: what it is probably about.
struct NameWords {
  let words: [String]

  /// `eventTime`, `event_time`, `user.id`: in lower case.
  init(_ path: some Sequence<String>) { words = path.flatMap(NameWords.split) }

  private static func split(_ name: String) -> [String] {
    var (words, word, wasLower) = ([String](), "", false)
    for c in name {
      guard c.isLetter || c.isNumber else {
        if !word.isEmpty { words.append(word) }
        (word, wasLower) = ("", false)
        continue
      }
      if c.isUppercase, wasLower {
        words.append(word)
        word = ""
      }
      word += c.lowercased()
      wasLower = c.isLowercase
    }
    return word.isEmpty ? words : words + [word]
  }

  private func has(_ set: Set<String>) -> Bool { words.contains(where: set.contains) }

  private static let times: Set<String> = [
    "time", "timestamp", "ts", "date", "datetime", "at", "when", "epoch", "created", "updated", "modified", "occurred",
  ]
  private static let money: Set<String> = [
    "amount", "price", "cost", "total", "fee", "tax", "balance", "revenue", "salary", "discount", "paid", "spent",
  ]
  private static let quantities: Set<String> = money.union([
    "quantity", "qty", "count", "size", "bytes", "length", "weight", "height", "width", "duration", "ms", "rate", "score", "age", "number",
    "kg", "km",
  ])
  private static let owners: Set<String> = [
    "user", "customer", "client", "account", "device", "sensor", "session", "host", "symbol", "ticker", "vehicle", "driver", "tenant",
    "actor", "member", "player", "merchant", "store", "shop", "subject", "visitor", "machine", "owner", "key",
  ]
  private static let events: Set<String> = ["event", "message", "msg", "record", "reading", "row", "log", "entry", "tick"]
  /// Digits and points that are no numbers.
  private static let labels: Set<String> = [
    "version", "specversion", "code", "zip", "zipcode", "postcode", "phone", "ip", "sku", "isbn", "hash",
  ]

  var isTime: Bool { has(NameWords.times) }
  var isMoney: Bool { has(NameWords.money) }
  var isQuantity: Bool { has(NameWords.quantities) }
  var isLabel: Bool { has(NameWords.labels) }
  var isID: Bool { has(["id", "uuid", "guid"]) }

  /// How much it says "the time of the event".
  var timeScore: Int {
    let last = words.last ?? ""
    if words == ["event", "time"] || words == ["event", "timestamp"] { return 5 }
    if has(["received", "ingest", "ingested", "processed", "updated", "modified", "stored", "arrival"]) { return 1 }
    if ["timestamp", "ts", "time", "datetime"].contains(last) { return words.count == 1 ? 4 : 3 }
    if has(["created", "occurred", "measured", "published", "at"]) { return 3 }
    return isTime ? 2 : 0
  }

  /// How much it says "whose record it is".
  var keyScore: Int {
    guard let owner = words.lastIndex(where: NameWords.owners.contains) else { return isID ? 1 : 0 }
    let rest = Set(words[(owner + 1)...])
    if rest.isEmpty || rest.isSubset(of: ["id", "arn", "uuid", "name", "login", "identity"]) {
      return rest.contains("id") || rest.isEmpty ? 4 : 3
    }
    return 0
  }

  /// How much it says "the record's own id".
  var idScore: Int {
    if words == ["id"] || words == ["uuid"] || words == ["guid"] { return 4 }
    // Of Debezium: many changes share a transaction.
    guard isID, words != ["source", "tx", "id"] else { return 0 }
    return has(NameWords.events) ? 4 : has(NameWords.owners) ? 1 : 2
  }
}
