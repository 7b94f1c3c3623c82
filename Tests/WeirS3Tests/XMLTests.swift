import Testing
import WeirTesting

@testable import WeirS3

@Suite struct XMLTests {
  private func parsed(_ text: String) -> XMLElement? { XMLElement(parsing: Array(text.utf8)) }

  @Test func `an answer is read: text, entities, namespaces, attributes, comments`() throws {
    let root = try #require(
      parsed(
        "<?xml version=\"1.0\"?>\n \n<!-- > --><s:A xmlns:s='http://x/>'><B c=\"a>b\">1 &lt;&amp;&gt;&quot;&apos;&#65;&#x1F600;</B><C/><D><![CDATA[<x>&]]></D>"
          + "<B>2</B><!-- <B>3</B> --></s:A>"))
    #expect(root.name == "A" && root["B"] == "1 <&>\"'A😀" && root["C"] == "" && root["D"] == "<x>&" && root["E"] == nil)
    #expect(root.all("B").map(\.text) == ["1 <&>\"'A😀", "2"])
  }

  @Test(arguments: [
    "", " ", "<", "<A", "<A>", "<A></B>", "</A>", "<A>&nope;</A>", "<A>&#xD800;</A>", "<A>&#99999999999;</A>", "<A>&amp</A>",
    "<A><B></A></B>",
    "<!DOCTYPE a [<!ENTITY b \"c\">]><A>&b;</A>", "< A></A>", "<></>", "<A>&</A>", "<A><![CDATA[</A>", "<A b='>", "<A>\u{0}&#;</A>", "text",
  ]) func `what is not well-formed is nil`(text: String) {
    #expect(parsed(text) == nil)
  }

  @Test func `depth and length are bounded`() {
    func nested(_ depth: Int) -> String { String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth) }
    #expect(parsed(nested(XMLElement.depthMax)) != nil)
    #expect(parsed(nested(XMLElement.depthMax + 1)) == nil)
    #expect(parsed("<a>" + String(repeating: "<b/>", count: XMLElement.elementsMax) + "</a>") == nil)
  }

  @Test func `bytes that were cut, changed or made up never trap`() {
    let good = Array(
      "<?xml version=\"1.0\"?><ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><Contents><Key>a%20b</Key><LastModified>2026-11-30T08:00:00.000Z</LastModified><Size>12</Size></Contents><NextContinuationToken>x&amp;y</NextContinuationToken></ListBucketResult>"
        .utf8)
    #expect(S3ListPage(good)?.next == "x&y")
    for end in 0..<good.count { #expect(S3ListPage(Array(good[..<end])) == nil) }
    var random = SplitMix64(seed: 7)
    for _ in 0..<2000 / Cases.step(debug: 10) {
      var bytes = good
      for _ in 0...random.below(4) { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
      _ = S3ListPage(bytes)
      _ = S3UploadsPage(bytes)
      _ = S3ErrorBody(bytes)
    }
  }

  @Test func `listings are read as the service encodes them`() throws {
    let text = """
      <ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a+b%2B%C3%BC%25/c</Key><Size>7</Size>\
      <LastModified>2024-02-29T23:59:59.250Z</LastModified></Contents></ListBucketResult>
      """
    let page = try #require(S3ListPage(Array(text.utf8)))
    #expect(page.objects == [.init(key: "a b+ü%/c", bytes: 7, modifiedMicroseconds: 1_709_251_199_250_000)] && page.next == nil)
    // Without the element, keys are as they are.
    let plain = try #require(S3ListPage(Array(text.replacing("<EncodingType>url</EncodingType>", with: "").utf8)))
    #expect(plain.objects.map(\.key) == ["a+b%2B%C3%BC%25/c"])
    for broken in ["%2", "%", "%GG", "%FF"] { #expect(S3Text.decoded(broken) == nil) }
  }

  @Test func `times are read`() {
    #expect(S3Text.microseconds("1970-01-01T00:00:00Z") == 0)
    #expect(S3Text.microseconds("2000-03-01T00:00:00.001Z") == 951_868_800_001_000)
    #expect(S3Text.microseconds("2026-11-30T08:00:00.000Z") == 1_796_025_600_000_000)
    for text in ["", "2026-11-30", "2026-13-30T08:00:00Z", "2026-11-30T08:00:00", "x026-11-30T08:00:00Z", "2026-11-30T08:00:0ZZ"] {
      #expect(S3Text.microseconds(text) == nil, "\(text)")
    }
  }

  @Test func `a listing begins closely before the text that is asked for`() {
    for text in ["a", "ab", "b/0010.json", "ü", "😀", "a\u{E000}", "a!", "a\u{80}"] {
      guard let before = S3Text.before(text) else { continue }
      #expect(before.utf8.lexicographicallyPrecedes(text.utf8), "\(text)")
      #expect(before.unicodeScalars.count >= text.unicodeScalars.count - 1)
    }
    #expect(S3Text.before("b/0010") == "b/001/" && S3Text.before("") == nil)
  }
}
