/// `%{NAME:field}` in patterns: names of common parts, as other log programs have them.
package enum Grok {
  private static let depthMax = 10

  /// A regular expression, and where its parts come from.
  package struct Expansion {
    package fileprivate(set) var text = ""
    /// Ascending: from this byte of `text` on, it is the pattern's from that byte on, or all of a `%{…}`.
    fileprivate var parts: [(from: Int, origin: Int, isName: Bool)] = []

    /// The byte of the pattern that a byte of ``text`` comes from.
    package func origin(of offset: Int) -> Int {
      guard let part = parts.last(where: { $0.from <= offset }) else { return offset }
      return part.isName ? part.origin : part.origin + offset - part.from
    }
  }

  /// The regular expression that a pattern with `%{…}` means.
  /// - Throws: the offset is in `text`.
  package static func expand(_ text: String) throws(PatternFault) -> Expansion {
    var expansion = Expansion()
    let whole = try expand(text, depth: 0) { expansion.parts.append(($0, $1, $2)) }
    expansion.text = whole
    return expansion
  }

  /// - Parameter part: called where a `%{…}` begins and after it, see ``Expansion``.
  private static func expand(
    _ text: String, depth: Int, part: (Int, Int, Bool) -> Void = { _, _, _ in }
  ) throws(PatternFault) -> String {
    var out: [UInt8] = []
    let bytes = Array(text.utf8)
    var at = 0
    while at < bytes.count {
      // `\%{` is itself.
      if bytes[at] == 0x5C, at + 1 < bytes.count {
        out += bytes[at..<at + 2]
        at += 2
        continue
      }
      guard bytes[at] == 0x25, at + 1 < bytes.count, bytes[at + 1] == 0x7B else {
        out.append(bytes[at])
        at += 1
        continue
      }
      guard let end = bytes[at...].firstIndex(of: 0x7D) else { throw PatternFault(reason: "a %{ without a }", offset: at) }
      let parts = String(decoding: bytes[(at + 2)..<end], as: UTF8.self).split(separator: ":", omittingEmptySubsequences: false)
      guard let known = library[String(parts[0])] else {
        let near = nearestName(String(parts[0]), in: library.keys.sorted()).map { "; did you mean \($0)?" } ?? ""
        throw PatternFault(reason: "there is no grok pattern \(parts[0])\(near)", offset: at)
      }
      if parts.count == 3 {
        throw PatternFault(
          reason: "the type of \(parts[1]) is the field's: write %{\(parts[0]):\(parts[1])}, and the type in fields", offset: at)
      }
      guard parts.count <= 2 else { throw PatternFault(reason: "a grok pattern is %{NAME} or %{NAME:field}", offset: at) }
      guard depth < depthMax, out.count <= LinePattern.bytesMax else {
        throw PatternFault(reason: "it has more than \(LinePattern.bytesMax) bytes (pattern_bytes)", offset: at)
      }
      let inner: String
      do { inner = try expand(known, depth: depth + 1) } catch { throw PatternFault(reason: error.reason, offset: at) }
      part(out.count, at, true)
      out += Array((parts.count > 1 ? "(?<\(parts[1])>" : "(?:").utf8) + Array(inner.utf8) + Array(")".utf8)
      at = end + 1
      part(out.count, at, false)
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static let octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
  /// The names that there are.
  package static var names: [String] { library.keys.sorted() }

  private static let library: [String: String] = [
    "WORD": #"\w+"#, "NOTSPACE": #"\S+"#, "SPACE": #"\s*"#, "DATA": ".*?", "GREEDYDATA": ".*", "INT": "[+-]?[0-9]+",
    "POSINT": "[1-9][0-9]*", "NONNEGINT": "[0-9]+", "NUMBER": #"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"#,
    "BASE10NUM": "%{NUMBER}", "BASE16NUM": "[+-]?(?:0x)?[0-9A-Fa-f]+",
    "IPV4": "\(octet)\\.\(octet)\\.\(octet)\\.\(octet)",
    "IPV6": "[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\\.[0-9]{1,3}){0,3}(?:%[0-9A-Za-z]+)?",
    "IP": "(?:%{IPV4}|%{IPV6})",
    "HOSTNAME": #"[0-9A-Za-z_](?:[0-9A-Za-z_-]{0,62})(?:\.[0-9A-Za-z_][0-9A-Za-z_-]{0,62})*\.?"#,
    "HOST": "%{HOSTNAME}", "IPORHOST": "(?:%{IP}|%{HOSTNAME})", "HOSTPORT": "%{IPORHOST}:%{POSINT}",
    "UUID": "[A-Fa-f0-9]{8}-(?:[A-Fa-f0-9]{4}-){3}[A-Fa-f0-9]{12}", "QUOTEDSTRING": #""(?:[^"\\]|\\.)*""#, "QS": "%{QUOTEDSTRING}",
    "USERNAME": "[a-zA-Z0-9._-]+", "USER": "%{USERNAME}", "EMAILADDRESS": #"[a-zA-Z0-9.!#$&'*+/=?^_`{|}~-]+@%{HOSTNAME}"#,
    "PATH": #"/[^\s?]*"#, "UNIXPATH": "%{PATH}", "URIPATH": #"/[^\s?#]*"#, "URIPARAM": #"\?[^\s#]*"#,
    "URIPROTO": #"[A-Za-z][A-Za-z0-9+.-]*"#,
    "URIPATHPARAM": "%{URIPATH}(?:%{URIPARAM})?", "URI": #"%{URIPROTO}://[^\s]+"#,
    "MONTH": "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*", "MONTHNUM": "(?:0?[1-9]|1[0-2])",
    "MONTHDAY": "(?:0[1-9]|[12][0-9]|3[01]|[1-9])", "DAY": "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*", "YEAR": "[0-9]{4}",
    "HOUR": "(?:2[0-3]|[01]?[0-9])", "MINUTE": "[0-5][0-9]", "SECOND": #"(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?"#,
    "TIME": "%{HOUR}:%{MINUTE}(?::%{SECOND})?", "ISO8601_TIMEZONE": "(?:Z|[+-]%{HOUR}:?%{MINUTE})",
    "TIMESTAMP_ISO8601": "%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?(?:%{ISO8601_TIMEZONE})?",
    "HTTPDATE": "%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}", "SYSLOGTIMESTAMP": "%{MONTH} +%{MONTHDAY} %{TIME}",
    "LOGLEVEL":
      "(?:[Tt]race|TRACE|[Dd]ebug|DEBUG|[Nn]otice|NOTICE|[Ii]nfo|INFO|[Ww]arn(?:ing)?|WARN(?:ING)?|[Ee]rr(?:or)?|ERR(?:OR)?|[Cc]rit(?:ical)?|CRIT(?:ICAL)?|[Ff]atal|FATAL|[Ss]evere|SEVERE|[Ee]merg(?:ency)?|EMERG(?:ENCY)?|[Aa]lert|ALERT)",
    "PROG": #"[\x21-\x5a\x5c\x5e-\x7e]+"#, "SYSLOGHOST": "%{IPORHOST}",
  ]
}

/// Patterns of well-known logs. Plans keep the expression, not the name.
package struct ReadyPattern: Sendable {
  package var name: String
  /// A regular expression.
  package var pattern: String
  package var nulls: [String]
  /// Of its `time`; nil: ISO 8601.
  package var timeFormats: [String]?

  private static let access =
    #"(?<remote_addr>\S+) (?<ident>\S+) (?<remote_user>.*?) \[(?<time>[^\]]+)\] "(?:(?<method>[A-Z][A-Z0-9_-]*) (?<path>(?:[^ ?"\\]|\\[^ ])[^ ?"\\]*(?:\\[^ ]?[^ ?"\\]*)*)(?:\?(?<query>[^ "\\]*(?:\\[^ ]?[^ "\\]*)*))? (?<protocol>HTTP/[0-9.]+)|(?:[^"\\]|\\.)*)" (?<status>[0-9]{3}) (?<bytes>[0-9]+|-)"#
  private static let combined = access + #" "(?<referer>(?:[^"\\]|\\.)*)" "(?<user_agent>(?:[^"\\]|\\.)*)""#
  private static let accessTime = ["%d/%b/%Y:%H:%M:%S %z"]

  package static let all = [
    ReadyPattern(name: "nginx", pattern: combined, nulls: ["-"], timeFormats: accessTime),
    ReadyPattern(
      name: "apache", pattern: access + #"(?: "(?<referer>(?:[^"\\]|\\.)*)" "(?<user_agent>(?:[^"\\]|\\.)*)")?"#, nulls: ["-"],
      timeFormats: accessTime),
    ReadyPattern(
      name: "alb",
      pattern:
        #"(?<type>\S+) (?<time>\S+) (?<elb>\S+) (?<client>\S+) (?<target>\S+) (?<request_processing_time>\S+) (?<target_processing_time>\S+) (?<response_processing_time>\S+) (?<status>\S+) (?<target_status>\S+) (?<received_bytes>\S+) (?<sent_bytes>\S+) "(?<method>\S+) (?<url>[^" ]*) (?<protocol>[^"]*?) ?" "(?<user_agent>(?:[^"\\]|\\.)*)" (?<ssl_cipher>\S+) (?<ssl_protocol>\S+) (?<target_group_arn>\S+) "(?<trace_id>[^"]*)"(?: "(?<domain_name>[^"]*)" "(?<chosen_cert_arn>[^"]*)" (?<matched_rule_priority>\S+) (?<request_creation_time>\S+) "(?<actions_executed>[^"]*)" "(?<redirect_url>[^"]*)" "(?<error_reason>[^"]*)")?(?: .*)?"#,
      nulls: ["-"]),
    // RFC 5424.
    ReadyPattern(
      name: "syslog",
      pattern:
        #"<(?<priority>[0-9]{1,3})>(?<version>[1-9][0-9]{0,2}) (?<time>\S+) (?<host>\S+) (?<app>\S+) (?<process>\S+) (?<message_id>\S+) (?<data>-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+)(?: (?<message>.*))?"#,
      nulls: ["-"]),
    // RFC 3164, whose times have no year.
    ReadyPattern(
      name: "syslog_bsd",
      pattern:
        #"(?:<(?<priority>[0-9]{1,3})>)?(?<time>[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}) (?<host>\S+) (?<app>[^ :\[]+)(?:\[(?<process>[^\]]*)\])?:(?: |$)(?<message>.*)"#,
      nulls: []),
  ]

  package static func named(_ name: String) -> ReadyPattern? { all.first { $0.name == name } }
}
