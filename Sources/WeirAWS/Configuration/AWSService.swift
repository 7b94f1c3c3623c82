/// The services that Weir calls.
package enum AWSService: String, Sendable, Hashable, CaseIterable {
  case s3
  case dynamodb
  case kinesis
  case sts
  case glue
  case secretsmanager
  case ssm
  /// CloudWatch's metrics.
  case monitoring
  /// IAM Identity Center's portal: keys of people.
  case sso

  /// In the scope of a signature.
  var signingName: String { self == .sso ? "awsssoportal" : rawValue }

  /// In names of hosts.
  var hostName: String { self == .sso ? "portal.sso" : rawValue }

  /// In `AWS_ENDPOINT_URL_<ID>` and, in lower case, in `services` sections of profiles: the service's id of its model.
  var id: String {
    switch self {
    case .secretsmanager: "SECRETS_MANAGER"
    case .monitoring: "CLOUDWATCH"
    default: rawValue.uppercased()
    }
  }
}

/// A group of regions with domains of its own.
struct AWSPartition: Equatable {
  var name: String
  /// Of its regions.
  var prefix: String
  var domain: String
  var dualStackDomain: String

  /// Of a region; unknown regions are of `aws`, as in the SDKs.
  static func of(_ region: String) -> AWSPartition { all.first { region.hasPrefix($0.prefix) } ?? aws }

  static let aws = AWSPartition(name: "aws", prefix: "", domain: "amazonaws.com", dualStackDomain: "api.aws")
  /// Source: botocore 1.44, data/partitions.json.
  private static let all = [
    AWSPartition(name: "aws-cn", prefix: "cn-", domain: "amazonaws.com.cn", dualStackDomain: "api.amazonwebservices.com.cn"),
    AWSPartition(name: "aws-us-gov", prefix: "us-gov-", domain: "amazonaws.com", dualStackDomain: "api.aws"),
    AWSPartition(name: "aws-eusc", prefix: "eusc-", domain: "amazonaws.eu", dualStackDomain: "api.amazonwebservices.eu"),
    AWSPartition(name: "aws-iso", prefix: "us-iso-", domain: "c2s.ic.gov", dualStackDomain: "api.aws.ic.gov"),
    AWSPartition(name: "aws-iso-b", prefix: "us-isob-", domain: "sc2s.sgov.gov", dualStackDomain: "api.aws.scloud"),
    AWSPartition(name: "aws-iso-e", prefix: "eu-isoe-", domain: "cloud.adc-e.uk", dualStackDomain: "api.cloud-aws.adc-e.uk"),
    AWSPartition(name: "aws-iso-f", prefix: "us-isof-", domain: "csp.hci.ic.gov", dualStackDomain: "api.aws.hci.ic.gov"),
  ]
}
