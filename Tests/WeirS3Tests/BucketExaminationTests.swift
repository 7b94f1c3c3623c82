import Testing
import WeirAWS
import WeirCore
import WeirS3Settings

@testable import WeirS3

/// What `weir doctor` says of a bucket's settings: XML in, findings out.
@Suite struct BucketExaminationTests {
  private static func rule(_ filter: String, _ action: String, status: String = "Enabled") -> String {
    "<Rule><ID>r</ID><Filter>\(filter)</Filter><Status>\(status)</Status>\(action)</Rule>"
  }

  private static let expires = "<Expiration><Days>30</Days></Expiration>"

  private static func finding(_ rule: String, lake: String = "s3://bucket/a/lake") throws -> StoreFinding {
    let document = "<LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\(rule)</LifecycleConfiguration>"
    return try #require(BucketFindings.lifecycle(.document(Array(document.utf8)), try S3Location(lake)).first)
  }

  @Test(arguments: [
    "", "<Prefix></Prefix>", "<Prefix>a/</Prefix>", "<Prefix>a/la</Prefix>", "<Prefix>a/lake/</Prefix>", "<Prefix>a/lake/_weir/p/</Prefix>",
    "<Prefix>a/lake/silver/orders/</Prefix>", "<And><Prefix>a/</Prefix><ObjectSizeGreaterThan>9</ObjectSizeGreaterThan></And>",
  ]) func `a rule that deletes a lake's objects is a problem, whatever prefix selects them`(_ filter: String) throws {
    let finding = try BucketExaminationTests.finding(BucketExaminationTests.rule(filter, BucketExaminationTests.expires))
    #expect(finding.problem?.contains("deletes") == true && finding.problem?.contains("after 30 days") == true, "\(finding)")
  }

  @Test(arguments: [
    "<Prefix>b/</Prefix>", "<Prefix>a/lake2/</Prefix>", "<Prefix>a/lake/tmp/</Prefix>", "<Prefix>a/lake/_weir_check/</Prefix>",
  ])
  func `a rule for other keys is none`(_ filter: String) throws {
    let finding = try BucketExaminationTests.finding(BucketExaminationTests.rule(filter, BucketExaminationTests.expires))
    #expect(finding.problem == nil && finding.notice == nil, "\(finding)")
  }

  @Test func `a rule that is off, that needs tags, or that removes old versions deletes nothing`() throws {
    let off = try BucketExaminationTests.finding(BucketExaminationTests.rule("", BucketExaminationTests.expires, status: "Disabled"))
    let markers = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
    let versions = "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>"
    let uploads = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
    let old = try BucketExaminationTests.finding(BucketExaminationTests.rule("", markers + versions + uploads))
    for finding in [off, old] { #expect(finding.problem == nil && finding.notice == nil, "\(finding)") }
    for tags in ["<Tag><Key>k</Key><Value>v</Value></Tag>", "<And><Prefix>a/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And>"] {
      let tagged = try BucketExaminationTests.finding(BucketExaminationTests.rule(tags, BucketExaminationTests.expires))
      #expect(tagged.problem == nil && tagged.notice?.contains("tags") == true, "\(tagged)")
    }
  }

  @Test func `an archive is a problem, a colder class a notice`() throws {
    func moved(_ storageClass: String) throws -> StoreFinding {
      let action = "<Transition><Days>9</Days><StorageClass>\(storageClass)</StorageClass></Transition>"
      return try BucketExaminationTests.finding(BucketExaminationTests.rule("", action))
    }
    for archive in ["GLACIER", "DEEP_ARCHIVE"] { #expect(try moved(archive).problem?.contains("restored") == true) }
    for other in ["GLACIER_IR", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"] {
      let finding = try moved(other)
      #expect(finding.problem == nil && finding.notice?.contains("\(other) after 9 days") == true, "\(finding)")
    }
  }

  @Test func `rules of before 2016 have the prefix outside of a filter`() throws {
    let rule = "<Rule><ID>r</ID><Prefix>b/</Prefix><Status>Enabled</Status>\(BucketExaminationTests.expires)</Rule>"
    #expect(try BucketExaminationTests.finding(rule).problem == nil)
    #expect(try BucketExaminationTests.finding(rule, lake: "s3://bucket/b").problem != nil)
    #expect(try BucketExaminationTests.finding(rule, lake: "s3://bucket").problem == nil)
    #expect(
      try BucketExaminationTests.finding(BucketExaminationTests.rule("", BucketExaminationTests.expires), lake: "s3://bucket").problem
        != nil)
  }

  private static func document(_ text: String) -> BucketExamination.Answer { .document(Array(text.utf8)) }

  @Test func `versioning costs storage unless a rule removes old versions`() {
    let on = BucketExaminationTests.document("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
    #expect(BucketFindings.versioning(on, removesNoncurrent: false).notice?.contains("NoncurrentVersionExpiration") == true)
    #expect(BucketFindings.versioning(on, removesNoncurrent: true).notice == nil)
    let off = BucketFindings.versioning(BucketExaminationTests.document("<VersioningConfiguration/>"), removesNoncurrent: false)
    #expect(off == StoreFinding(what: "versioning is off"))
  }

  @Test func `a default retention is a notice, and a problem for writes without checksums`() {
    let lock = BucketExaminationTests.document(
      "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>7</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
    )
    #expect(BucketFindings.objectLock(lock, sendsChecksums: true).notice?.contains("GOVERNANCE for 7 days") == true)
    #expect(BucketFindings.objectLock(lock, sendsChecksums: false).problem?.contains("checksum") == true)
    let plain = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
    #expect(BucketFindings.objectLock(BucketExaminationTests.document(plain), sendsChecksums: true).notice == nil)
  }

  @Test func `KMS without a bucket key is a notice`() {
    func kms(_ key: String) -> StoreFinding {
      BucketFindings.encryption(
        BucketExaminationTests.document(
          "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm></ApplyServerSideEncryptionByDefault>\(key)</Rule></ServerSideEncryptionConfiguration>"
        ))
    }
    #expect(kms("").notice != nil && kms("<BucketKeyEnabled>true</BucketKeyEnabled>").notice == nil)
  }

  private struct Answering: AWSSender {
    let endpoint = "https://s3.eu-central-1.amazonaws.com"
    let answer: @Sendable (AWSRequest) -> Result<AWSResponse, AWSFailure>
    func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse { try answer(request).get() }
  }

  @Test func `a service without these requests, or that does not allow them, gets notices`() async throws {
    for (status, words) in [(501, "does not implement"), (403, "s3:GetLifecycleConfiguration"), (0, "no answer")] {
      let sender = Answering { request in
        .failure(AWSFailure(.fatal, code: "X", message: "\(request.operation): no answer", status: status))
      }
      let findings = await BucketExamination(S3Settings(try S3Location("s3://bucket/lake")), sender: sender).run()
      #expect(findings.count == 4 && findings.allSatisfy { $0.problem == nil && $0.notice != nil }, "\(findings)")
      #expect(findings[0].notice?.contains(words) == true, "\(findings)")
    }
  }

  @Test func `bytes that are no answer of S3 are notices`() throws {
    let location = try S3Location("s3://bucket/lake")
    for text in ["", "<html/>", "<LifecycleConfiguration>", "\u{0}", "{}"] {
      let answer = BucketExaminationTests.document(text)
      let findings =
        BucketFindings.lifecycle(answer, location) + [
          BucketFindings.versioning(answer, removesNoncurrent: false), BucketFindings.objectLock(answer, sendsChecksums: true),
          BucketFindings.encryption(answer),
        ]
      #expect(findings.count == 4 && findings.allSatisfy { $0.problem == nil && $0.notice != nil }, "\(text): \(findings)")
    }
  }
}
