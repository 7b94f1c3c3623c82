import Testing
import WeirCore

@testable import WeirAWS

struct MSKTokenTests {
  @Test func `a token is the address that botocore signs, in base64`() {
    let keys = AWSCredentials(
      accessKeyID: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", sessionToken: "to/ken+=")
    let (token, expiry) = MSKToken.sign(region: "eu-central-1", credentials: keys, at: TestMachine.startSeconds)
    #expect(expiry == TestMachine.startSeconds + 900)
    // botocore 1.44.8, SigV4QueryAuth.
    let signed =
      "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256"
      + "&X-Amz-Credential=AKIDEXAMPLE%2F20261130%2Feu-central-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=20261130T080000Z"
      + "&X-Amz-SignedHeaders=host&X-Amz-Expires=900&X-Amz-Security-Token=to%2Fken%2B%3D"
      + "&X-Amz-Signature=3579a12c254a89846f3f834b4c2dfdc7561348e61dd07b55a63fd57ea7c41c61&User-Agent=weir"
    #expect(token == Base64.encode(Array(signed.utf8), .urlWithoutPadding))
    #expect(!token.contains("=") && !token.contains("+") && !token.contains("/"))
  }

  @Test func `base64 is that of RFC 4648`() {
    #expect(
      ["", "f", "fo", "foo", "foob", "fooba"].map { Base64.encode(Array($0.utf8)) } == ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE="])
    #expect(Base64.encode([0xFB, 0xFF]) == "+/8=")
    #expect(Base64.encode([0xFB, 0xFF], .urlWithoutPadding) == "-_8")
  }
}
