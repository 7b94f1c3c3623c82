import Testing
import WeirCore

@testable import WeirAWS

struct EndpointTests {
  private func text(_ service: AWSService, _ region: String, fips: Bool = false, dual: Bool = false) throws -> String {
    try AWSEndpoint.of(service, region: region, isFIPS: fips, isDualStack: dual).text
  }

  private func configured(_ variables: [String: String], config: String = "") async throws -> AWSConfiguration {
    var machine = TestMachine()
    machine.variables.merge(variables) { $1 }
    machine.files["/home/w/.aws/config"] = config
    return try await AWSConfiguration.load(machine)
  }

  @Test func `endpoints are those of the partition`() throws {
    #expect(try text(.s3, "eu-central-1") == "https://s3.eu-central-1.amazonaws.com")
    #expect(try text(.dynamodb, "cn-north-1") == "https://dynamodb.cn-north-1.amazonaws.com.cn")
    #expect(try text(.sts, "us-gov-west-1") == "https://sts.us-gov-west-1.amazonaws.com")
    #expect(try text(.monitoring, "xx-new-9") == "https://monitoring.xx-new-9.amazonaws.com")
  }

  @Test func `FIPS and dual-stack have names of their own`() throws {
    #expect(try text(.s3, "us-east-1", fips: true, dual: true) == "https://s3-fips.dualstack.us-east-1.amazonaws.com")
    #expect(try text(.s3, "us-east-1", dual: true) == "https://s3.dualstack.us-east-1.amazonaws.com")
    #expect(try text(.glue, "us-east-1", fips: true) == "https://glue-fips.us-east-1.amazonaws.com")
    #expect(try text(.glue, "us-east-1", dual: true) == "https://glue.us-east-1.api.aws")
    #expect(try text(.dynamodb, "us-gov-east-1", fips: true) == "https://dynamodb.us-gov-east-1.amazonaws.com")
    #expect(try text(.secretsmanager, "us-east-1", dual: true) == "https://secretsmanager.us-east-1.amazonaws.com")
    #expect(throws: AWSFailure.self) { try text(.s3, "cn-north-1", fips: true) }
  }

  @Test(arguments: ["", "a.b", "evil.example/", "-x", "a b", String(repeating: "x", count: 64)])
  func `a text that is no part of a host's name is no region`(region: String) {
    #expect(throws: AWSFailure.self) { try text(.s3, region) }
  }

  @Test func `the region is from the environment, then the profile`() async throws {
    let config = "[default]\nregion = eu-west-3\n"
    #expect(try await configured(["AWS_REGION": "a-1", "AWS_DEFAULT_REGION": "b-1"], config: config).region == "a-1")
    #expect(try await configured(["AWS_DEFAULT_REGION": "b-1"], config: config).region == "b-1")
    #expect(try await configured([:], config: config).region == "eu-west-3")
    #expect(try await configured([:]).region == nil)
    await #expect(throws: AWSFailure.self) { try await configured([:]).endpoint(of: .s3) }
  }

  @Test func `configured endpoints win in the SDKs' order`() async throws {
    let config = """
      [default]
      region = r-1
      endpoint_url = http://profile
      services = local
      [services local]
      dynamodb =
        endpoint_url = http://section:8000
      """
    func place(_ service: AWSService, _ variables: [String: String]) async throws -> String {
      try await configured(variables, config: config).endpoint(of: service).text
    }
    #expect(try await place(.dynamodb, [:]) == "http://section:8000")
    #expect(try await place(.s3, [:]) == "http://profile")
    #expect(try await place(.dynamodb, ["AWS_ENDPOINT_URL": "http://all"]) == "http://all")
    #expect(try await place(.dynamodb, ["AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_DYNAMODB": "http://own"]) == "http://own")
    #expect(try await place(.secretsmanager, ["AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://s"]) == "http://s")
    #expect(try await place(.monitoring, ["AWS_ENDPOINT_URL_CLOUDWATCH": "http://m"]) == "http://m")
    #expect(try await place(.s3, ["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"]) == "https://s3.r-1.amazonaws.com")
    #expect(try await configured([:], config: config).endpoint(of: .s3, endpoint: "http://mine").text == "http://mine")
  }

  @Test func `an own endpoint excludes FIPS and dual-stack`() async throws {
    let variables = ["AWS_REGION": "r-1", "AWS_ENDPOINT_URL": "http://x"]
    for name in ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"] {
      await #expect(throws: AWSFailure.self) { try await configured(variables.merging([name: "true"]) { $1 }).endpoint(of: .s3) }
    }
    let plain = try await configured(["AWS_REGION": "us-east-1"], config: "[default]\nuse_fips_endpoint = true\n")
    #expect(try plain.endpoint(of: .kinesis).text == "https://kinesis-fips.us-east-1.amazonaws.com")
  }

  @Test func `own endpoints have a host, perhaps a port and a path`() throws {
    func parts(_ text: String) throws -> [String] {
      let endpoint = try AWSEndpoint(text, region: "r-1")
      return [endpoint.scheme, endpoint.authority, endpoint.path]
    }
    #expect(try parts("http://127.0.0.1:4566") == ["http", "127.0.0.1:4566", ""])
    #expect(try parts("https://h:443/") == ["https", "h", ""])
    #expect(try parts("https://h/a/b/") == ["https", "h", "/a/b"])
    #expect(try parts("http://[::1]:80/") == ["http", "[::1]", ""])
  }

  @Test(arguments: [
    "", "h", "ftp://h", "http://", "http://h:0", "http://h:99999", "http://u:p@h", "http://h?x=1", "http://h#f", "http://h\n/x",
    "http://[::1",
  ])
  func `other texts are no endpoints`(text: String) {
    #expect(throws: AWSFailure.self) { try AWSEndpoint(text, region: "r-1") }
  }

  @Test func `an endpoint with a password is not shown`() {
    let failure = #expect(throws: AWSFailure.self) { try AWSEndpoint("http://user:hunter2@h", region: "r-1") }
    #expect(failure?.message.contains("hunter2") == false)
  }

  @Test func `the number of attempts is configured`() async throws {
    #expect(try await configured(["AWS_MAX_ATTEMPTS": "9"]).retries.attemptsMax == 9)
    await #expect(throws: AWSFailure.self) { try await configured(["AWS_MAX_ATTEMPTS": "many"]) }
  }
}
