import Testing
import WeirCore

@testable import WeirRedisSettings

@Suite struct RedisSettingsTests {
  @Test(arguments: [
    "redis://cache:6379/0?user_aws=ssm%3A/prod/user&password_aws=secretsmanager%3B60%3Aprod/redis%23password", "redis://cache:6379/0",
    "rediss://cache:6380/3?prefix=ads/eu-1", "redis://[::1]:7000/0", "redis://me@cache:6379/0?password_env=P",
    "redis://cache:6379/0?user_env=U&password_file=/run/secrets/a%20b", "redis://cache:6379/0?timeout_ms=500",
    "rediss://cache:6379/0?ca=/etc/ca.pem&certificate=/c.pem&key_env=K&key_password_file=/kp&verify_host=false",
    "redis://?prefix=ads&url_env=REDIS_URL", "rediss://?url_env=REDIS_URL&ca=/ca.pem",
  ])
  func `a place is what was read from it`(_ place: String) throws {
    let settings = try RedisSettings(place: place)
    #expect(settings.place == place)
    #expect(try RedisSettings(place: settings.place) == settings)
  }

  @Test(arguments: [
    ("redis://cache", "redis://cache:6379/0"), ("REDIS://cache/", "redis://cache:6379/0"),
    ("redis://10.0.0.1/2", "redis://10.0.0.1:6379/2"), ("redis://cache:6379/0?prefix=weir", "redis://cache:6379/0"),
  ])
  func `what is left out has its default`(_ place: String, _ whole: String) throws {
    #expect(try RedisSettings(place: place).place == whole)
  }

  @Test(arguments: [
    "redis:", "redis:cache", "redis:/cache", "redis://", "redis:///0", "redis://cache:0/0", "redis://cache:65536", "redis://cache:6379/x",
    "redis://cache:6379/-1", "redis://cache:6379/65536", "redis://cache/0/1", "redis://a b/0", "redis://[::1/0", "redis://cache#x",
    "redis://cache?nonsense=1", "redis://cache?prefix=", "redis://cache?prefix=a&prefix=b", "redis://cache?prefix={a}",
    "redis://cache?prefix=a%20b",
    "redis://cache?ca=/x", "rediss://cache?verify_host=maybe", "redis://cache?timeout_ms=x", "redis://cache?timeout_ms=1",
    "redis://cache?prefix=%zz", "redis://cache?prefix=%00", "redis://cache?url_env=U", "redis://me@cache", "redis://cache?user_env=U",
    "redis://u@cache?user_env=U&password_env=P", "redis://a,b/0", "redis://u:secret@cache/0", "redis://:secret@cache",
    "redis://u:p@ss:secret@cache",
  ])
  func `what cannot be a place is refused, without a word of it`(_ place: String) {
    let problem = #expect(throws: RedisSettingProblem.self) { try RedisSettings(place: place) }
    #expect(problem?.reason.contains("secret") == false && problem?.advice.contains("secret") == false)
  }

  @Test(arguments: ["redis+sentinel://h:26379/0", "Sentinel://h:26379", "rediss-sentinel://u:secret@h/mymaster"])
  func `an address of Sentinel is refused with what to name instead`(_ place: String) {
    #expect(RedisSettings.accepts(place))
    let problem = #expect(throws: RedisSettingProblem.self) { try RedisSettings(place: place) }
    #expect(problem?.reason.contains("Sentinel") == true && problem?.advice.contains("primary") == true)
    #expect(problem?.reason.contains("secret") == false)
  }

  @Test func `only addresses of Redis are places of this kind`() {
    for place in ["redis:x", "rediss://x", "ReDis://x"] { #expect(RedisSettings.accepts(place)) }
    for place in ["./redis:x", "redis", "state", "/redis://x", "redi:x", "http://redis://", ""] { #expect(!RedisSettings.accepts(place)) }
  }

  @Test func `the address of a variable is used with its password, which no setting holds`() throws {
    let settings = RedisSettings.named(by: "REDIS_URL")
    let resolved = try settings.resolved { $0 == "REDIS_URL" ? "rediss://me:p%40ss:w@cache:7000/3" : nil }
    #expect(resolved.password == "p@ss:w")
    #expect(resolved.settings.host == "cache" && resolved.settings.port == 7000 && resolved.settings.database == 3)
    #expect(resolved.settings.user == "me" && resolved.settings.tls != nil)
    #expect(!"\(resolved.settings)".contains("p@ss") && settings.place == "redis://?url_env=REDIS_URL")
    for bad in [nil, "", "redis://", "cache:6379", "redis://me@cache", "redis://cache?prefix=a", "http://cache"] {
      #expect(throws: RedisSettingProblem.self, "\(bad ?? "nothing")") { try settings.resolved { _ in bad } }
    }
    var strict = settings
    strict.tls = TLSSpec()
    #expect(throws: RedisSettingProblem.self) { try strict.resolved { _ in "redis://cache" } }
    #expect(try strict.resolved { _ in "rediss://cache" }.settings.tls != nil)
  }
}
