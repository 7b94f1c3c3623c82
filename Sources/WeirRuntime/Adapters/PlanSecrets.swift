import WeirCore
import WeirKafkaSettings
import WeirRedisSettings

extension TLSSpec {
  var secrets: [SecretSpec] { [key, keyPassword].compactMap { $0 } }
}

extension KafkaSettingsSpec.SASL {
  var secrets: [SecretSpec] {
    switch self {
    case .password(_, let user, let password): [user, password]
    case .token(let token): [token]
    case .awsIAM: []
    }
  }
}

extension KafkaSettingsSpec {
  var secrets: [SecretSpec] { (sasl?.secrets ?? []) + (tls?.secrets ?? []) }
}

extension RegistrySpec {
  var secrets: [SecretSpec] {
    let own: [SecretSpec] =
      switch identity {
      case .basic(let user, let password): [user, password]
      case .bearer(let token): [token]
      case nil: []
      }
    return own + (tls?.secrets ?? [])
  }
}

extension Plan {
  /// The secrets of AWS that the plan names, each once, with the part of the pipeline file that names it first.
  package var storedSecrets: [(place: String, secret: StoredSecret)] {
    let redis = store.settings as? RedisSettings
    let sink = sinks?.settings as? KafkaSinkSpec
    let named: [(String, [SecretSpec])] = [
      ("source.kafka", KafkaSourceSpec.of(self)?.settings.secrets ?? []),
      ("sinks.kafka", (sink?.sasl?.secrets ?? []) + (sink?.tls?.secrets ?? [])),
      ("record.registry", record.registry?.secrets ?? []),
      ("store.redis", [redis?.userSecret, redis?.password].compactMap { $0 } + (redis?.tls?.secrets ?? [])),
      ("admin.token", [admin?.token].compactMap { $0 }),
    ]
    var found: [(place: String, secret: StoredSecret)] = []
    for (place, secrets) in named {
      for case .stored(let secret) in secrets where !found.contains(where: { $0.secret == secret }) { found.append((place, secret)) }
    }
    return found
  }
}
