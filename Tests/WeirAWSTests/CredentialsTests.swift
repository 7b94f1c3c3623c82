import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirAWS

struct CredentialsTests {
  private func machine(
    _ variables: [String: String] = [:], config: String? = nil, credentials: String? = nil,
    _ transport: any AWSTransport = ScriptedTransport([])
  ) -> TestMachine {
    var machine = TestMachine(transport: transport)
    machine.variables["AWS_REGION"] = "eu-central-1"
    machine.variables.merge(variables) { $1 }
    machine.files["/home/w/.aws/config"] = config
    machine.files["/home/w/.aws/credentials"] = credentials
    return machine
  }

  /// Access key, secret, token.
  private func keys(_ machine: TestMachine, profile: String? = nil) async throws(AWSFailure) -> [String?] {
    let keys = try await AWSConfiguration.load(machine, profile: profile).credentials.credentials()
    return [keys.accessKeyID, keys.secretAccessKey, keys.sessionToken]
  }

  private func failure(_ machine: TestMachine, profile: String? = nil) async -> AWSFailure? {
    do throws(AWSFailure) {
      _ = try await keys(machine, profile: profile)
      return nil
    } catch { return error }
  }

  static let environment = ["AWS_ACCESS_KEY_ID": "EI", "AWS_SECRET_ACCESS_KEY": "es", "AWS_SESSION_TOKEN": "et"]
  static let file =
    """
    [default]
    aws_access_key_id = FI
    aws_secret_access_key = fs
    [dev]
    AWS_ACCESS_KEY_ID: DI
    aws_secret_access_key=ds
    aws_session_token = dt
    """

  // MARK: Order

  @Test func `the environment comes first, unless the caller names a profile`() async throws {
    let machine = machine(CredentialsTests.environment, credentials: CredentialsTests.file)
    #expect(try await keys(machine) == ["EI", "es", "et"])
    #expect(try await keys(machine, profile: "dev") == ["DI", "ds", "dt"])
    #expect(try await keys(self.machine(["AWS_PROFILE": "dev"], credentials: CredentialsTests.file)) == ["DI", "ds", "dt"])
    #expect(try await keys(self.machine(credentials: CredentialsTests.file)) == ["FI", "fs", nil])
  }

  @Test func `without keys the error says what to set, and half of them is an error`() async {
    #expect(await failure(machine())?.message.contains("AWS_ACCESS_KEY_ID") == true)
    #expect(await failure(machine(["AWS_ACCESS_KEY_ID": "x"], credentials: CredentialsTests.file))?.kind == .fatal)
    #expect(await failure(machine(credentials: "[default]\naws_access_key_id = x\n"))?.kind == .fatal)
    #expect(await failure(machine(["AWS_PROFILE": "none"]))?.message.contains("there is no profile none") == true)
  }

  @Test func `keys of the credentials file come before a program, and a program before keys of the config file`() async throws {
    let config = "[profile p]\ncredential_process = /bin/keys --for \"a b\"\naws_access_key_id = CI\naws_secret_access_key = cs\n"
    var machine = machine(config: config)
    machine.program = { words in
      words == ["/bin/keys", "--for", "a b"]
        ? Array("{\"Version\": 1, \"AccessKeyId\": \"PI\", \"SecretAccessKey\": \"ps\", \"SessionToken\": \"pt\"}".utf8) : []
    }
    #expect(try await keys(machine, profile: "p") == ["PI", "ps", "pt"])
    machine.files["/home/w/.aws/credentials"] = "[p]\naws_access_key_id = FI\naws_secret_access_key = fs\n"
    #expect(try await keys(machine, profile: "p") == ["FI", "fs", nil])
    machine.files["/home/w/.aws/credentials"] = nil
    machine.files["/home/w/.aws/config"] = "[profile p]\naws_access_key_id = CI\naws_secret_access_key = cs\n"
    #expect(try await keys(machine, profile: "p") == ["CI", "cs", nil])
  }

  @Test(arguments: ["", "{}", "secret-of-mine", "{\"Version\": 2, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"secret-of-mine\"}"])
  func `a program that gives no keys is an error that does not show its output`(output: String) async {
    var machine = machine(config: "[default]\ncredential_process = p\n")
    machine.program = { _ in Array(output.utf8) }
    let failure = await failure(machine)
    #expect(failure?.kind == .fatal)
    #expect(failure?.message.contains("secret") == false)
  }

  // MARK: Roles

  private static let assumed = """
    <AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>RI</AccessKeyId><SecretAccessKey>rs</SecretAccessKey>
    <SessionToken>rt</SessionToken><Expiration>2026-11-30T09:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>
    """

  private func form(_ request: AWSTransportRequest?) -> Set<String> {
    Set(String(decoding: request?.body ?? [], as: UTF8.self).split(separator: "&").map(String.init))
  }

  @Test func `a role is assumed with the keys of its source profile`() async throws {
    let transport = ScriptedTransport([.answer(200, CredentialsTests.assumed)])
    let config = """
      [profile r]
      role_arn = arn:aws:iam::123456789012:role/r
      source_profile = dev
      role_session_name = me
      external_id = x y
      duration_seconds = 900
      """
    #expect(try await keys(machine(config: config, credentials: CredentialsTests.file, transport), profile: "r") == ["RI", "rs", "rt"])
    let sent = try #require(transport.requests.first)
    #expect(sent.origin == "https://sts.eu-central-1.amazonaws.com")
    #expect(sent.headers.contains { $0.name == "Authorization" && $0.value.contains("Credential=DI/") })
    #expect(
      form(sent) == [
        "Action=AssumeRole", "Version=2011-06-15", "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fr", "RoleSessionName=me",
        "ExternalId=x%20y", "DurationSeconds=900",
      ])
  }

  @Test func `roles follow each other, and circles are errors`() async throws {
    let transport = ScriptedTransport([.answer(200, CredentialsTests.assumed), .answer(200, CredentialsTests.assumed)])
    let config = """
      [profile a]
      role_arn = arn:a
      source_profile = b
      [profile b]
      role_arn = arn:b
      source_profile = dev
      [profile x]
      role_arn = arn:x
      source_profile = y
      [profile y]
      role_arn = arn:y
      source_profile = x
      [profile self]
      role_arn = arn:s
      source_profile = self
      """
    let machine = machine(config: config, credentials: CredentialsTests.file, transport)
    #expect(try await keys(machine, profile: "a") == ["RI", "rs", "rt"])
    #expect(transport.requests.count == 2)
    #expect(transport.requests[1].headers.contains { $0.name == "Authorization" && $0.value.contains("Credential=RI/") })
    for name in ["x", "self"] { #expect(await failure(machine, profile: name)?.message.contains("circle") == true) }
  }

  @Test func `a role can have its source in the environment, and not both sources`() async throws {
    let transport = ScriptedTransport([.answer(200, CredentialsTests.assumed)])
    let config = "[profile r]\nrole_arn = arn:r\ncredential_source = Environment\n"
    #expect(try await keys(machine(CredentialsTests.environment, config: config, transport), profile: "r")[0] == "RI")
    #expect(transport.requests.first?.headers.contains { $0.name == "Authorization" && $0.value.contains("Credential=EI/") } == true)
    #expect(await failure(machine(config: config + "source_profile = r\n"), profile: "r")?.message.contains("both") == true)
    #expect(await failure(machine(config: "[profile r]\nrole_arn = arn:r\n"), profile: "r")?.kind == .fatal)
  }

  @Test func `web identity is from the environment, is not signed, and reads its token each time`() async throws {
    let transport = ScriptedTransport([.answer(200, CredentialsTests.assumed)])
    var machine = machine(["AWS_ROLE_ARN": "arn:w", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/token", "AWS_ROLE_SESSION_NAME": "s"], transport)
    machine.files["/var/token"] = "j.w.t"
    #expect(try await keys(machine) == ["RI", "rs", "rt"])
    let sent = try #require(transport.requests.first)
    #expect(form(sent).isSuperset(of: ["Action=AssumeRoleWithWebIdentity", "WebIdentityToken=j.w.t", "RoleSessionName=s"]))
    #expect(!sent.headers.contains { $0.name == "Authorization" })
    machine.files["/var/token"] = nil
    #expect(await failure(machine)?.kind == .retriable)
  }

  @Test func `a refusal of STS shows its reason and not the token`() async {
    let body = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no provider</Message></Error></ErrorResponse>"
    var machine = machine(
      ["AWS_ROLE_ARN": "arn:w", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/token"], ScriptedTransport([.answer(400, body)]))
    machine.files["/var/token"] = "very-secret"
    let failure = await failure(machine)
    #expect(failure?.kind == .fatal)
    #expect(failure?.message.contains("InvalidIdentityToken: no provider") == true)
    #expect(failure.map { "\($0)".contains("very-secret") } == false)
  }

  // MARK: SSO

  @Test func `keys of IAM Identity Center need a token that is valid`() async throws {
    let body =
      "{\"roleCredentials\": {\"accessKeyId\": \"SI\", \"secretAccessKey\": \"ss\", \"sessionToken\": \"st\", "
      + "\"expiration\": 1796029200000}}"
    let transport = ScriptedTransport([.answer(200, body)])
    let config = """
      [profile s]
      sso_session = my
      sso_account_id = 123456789012
      sso_role_name = Reader
      [sso-session my]
      sso_region = eu-west-1
      sso_start_url = https://my.awsapps.com/start
      """
    var machine = machine(config: config, transport)
    #expect(await failure(machine, profile: "s")?.message.contains("aws sso login --profile s") == true)
    // SHA-1 of "my"
    let real = "/home/w/.aws/sso/cache/3ece1471f44f63177cbc35ba0b904e0c096b6783.json"
    machine.files[real] = "{\"accessToken\": \"tok\", \"expiresAt\": \"2026-11-30T07:59:59Z\"}"
    #expect(await failure(machine, profile: "s")?.message.contains("expired") == true)
    machine.files[real] = "{\"accessToken\": \"tok\", \"expiresAt\": \"2026-11-30T09:00:00Z\"}"
    #expect(try await keys(machine, profile: "s") == ["SI", "ss", "st"])
    let sent = try #require(transport.requests.first)
    #expect(
      sent.origin + sent.target
        == "https://portal.sso.eu-west-1.amazonaws.com/federation/credentials?role_name=Reader&account_id=123456789012")
    #expect(sent.headers.contains(.init("x-amz-sso_bearer_token", "tok")))
  }

  // MARK: Containers

  private static let container =
    "{\"AccessKeyId\": \"KI\", \"SecretAccessKey\": \"ks\", \"Token\": \"kt\", \"Expiration\": \"2026-11-30T10:00:00Z\"}"

  @Test func `ECS and EKS give keys of the container's role`() async throws {
    let ecs = ScriptedTransport([.answer(500), .answer(200, CredentialsTests.container)])
    #expect(try await keys(machine(["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x?id=1"], ecs)) == ["KI", "ks", "kt"])
    #expect(ecs.requests.map { $0.origin + $0.target } == Array(repeating: "http://169.254.170.2/v2/x?id=1", count: 2))
    #expect(ecs.requests.allSatisfy { !$0.usesProxy })
    let eks = ScriptedTransport([.answer(200, CredentialsTests.container)])
    var machine = machine(
      [
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/token",
      ], eks)
    machine.files["/var/token"] = "tok"
    #expect(try await keys(machine) == ["KI", "ks", "kt"])
    #expect(eks.requests.first?.headers.contains(.init("Authorization", "tok")) == true)
    machine.files["/var/token"] = "tok\r\nX-Evil: 1"
    #expect(await failure(machine)?.kind == .fatal)
  }

  @Test(arguments: [
    "http://example.com/x", "http://169.254.170.2.evil.example/", "http://127.evil.example/", "ftp://127.0.0.1/", "http://u@127.0.0.1/",
    "/x",
  ]) func `an address over http that is not of the machine gets no request`(address: String) async {
    let transport = ScriptedTransport([.answer(200, CredentialsTests.container)])
    #expect(await failure(machine(["AWS_CONTAINER_CREDENTIALS_FULL_URI": address], transport))?.kind == .fatal)
    #expect(transport.requests.isEmpty)
  }

  @Test(arguments: ["http://127.0.0.1:80/x", "http://localhost/x", "http://[::1]/x", "https://example.com/x", "http://[fd00:ec2::23]/x"])
  func `other addresses do`(address: String) async throws {
    let machine = machine(["AWS_CONTAINER_CREDENTIALS_FULL_URI": address], ScriptedTransport([.answer(200, CredentialsTests.container)]))
    #expect(try await keys(machine)[0] == "KI")
  }

  // MARK: Instances

  private func instance(_ expiry: String = "2026-11-30T10:00:00Z") -> RoutedTransport {
    RoutedTransport { request in
      let token = request.headers.first { $0.name == "x-aws-ec2-metadata-token" }?.value
      switch (request.method, request.target) {
      case ("PUT", "/latest/api/token"): return .answer(200, "TOKEN")
      case ("GET", "/latest/meta-data/iam/security-credentials/") where token == "TOKEN": return .answer(200, "my role\n")
      case ("GET", "/latest/meta-data/placement/region") where token == "TOKEN": return .answer(200, "ap-south-1")
      case ("GET", "/latest/meta-data/iam/security-credentials/my%20role") where token == "TOKEN":
        let keys = "\"AccessKeyId\": \"II\", \"SecretAccessKey\": \"is\", \"Token\": \"it\", \"Expiration\": \"\(expiry)\""
        return .answer(200, "{\"Code\": \"Success\", \(keys)}")
      default: return .answer(401)
      }
    }
  }

  @Test func `an instance gives the keys of its role and its region, with a token`() async throws {
    let machine = machine(["AWS_EC2_METADATA_DISABLED": "", "AWS_REGION": ""], instance())
    let configuration = try await AWSConfiguration.load(machine)
    #expect(configuration.region == "ap-south-1")
    #expect(try await configuration.credentials.credentials().accessKeyID == "II")
    let own = instance()
    _ = try await keys(self.machine(["AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://meta:1/"], own))
    #expect(own.requests.allSatisfy { $0.origin == "http://meta:1" && !$0.usesProxy })
    let off = instance()
    #expect(await failure(self.machine([:], off))?.kind == .fatal)
    #expect(off.requests.isEmpty)
  }

  @Test func `an instance that cannot renew its keys keeps them for a while`() async throws {
    let machine = machine(["AWS_EC2_METADATA_DISABLED": ""], instance("2026-11-30T07:00:00Z"))
    let profile = try await AWSProfile.load(machine, named: nil)
    let keys = try await InstanceCredentials(machine, profile).fetch()
    #expect(keys?.expiresAt == TestMachine.startSeconds + 600)
  }

  @Test func `without version 2 of the service there are no keys`() async {
    let transport = RoutedTransport { $0.method == "PUT" ? .answer(403) : .answer(200, "role") }
    #expect(await failure(machine(["AWS_EC2_METADATA_DISABLED": ""], transport))?.kind == .fatal)
    #expect(transport.requests.allSatisfy { $0.method == "PUT" })
  }
}
