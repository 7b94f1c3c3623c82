import WeirCore
import WeirOperators

extension FuzzTarget {
  private static let seeds = [
    "{\"r\":[{\"id\":\"a\",\"n\":1},{\"id\":\"b\"}]}\n{\"r\":[]}\n", "{\"x\":{\"r\":[1]},\"r\":[{\"id\":\"c\",\"n\":2}, 7 ,null]}",
    "{\"r\":{}}\n\n[{\"id\":\"d\"}]\n",
    "{\"r\":[{\"id\":\"a\"}],\"r\":[]}", "{\"r\":[{\"id\":\"a\"}",
  ]

  /// Elements of arrays in outer records: each comes out as it does alone, at its place; an outer record that is not JSON has none.
  static let elements = FuzzTarget(
    "elements", words: ["{\"r\":[", "]}", "\"r\"", "\\u0072", "{", "}", "[", "]", ",", ":", "\n", "null", "\"id\":\"x\"", "\u{FEFF}"],
    seeds: { seeds.map { Array($0.utf8) } }
  ) { input in
    var spec = RecordSpec(
      fields: [Field(name: "id", type: .string, required: true), Field(name: "n", type: .int64)], key: nil, time: nil)
    for each in [[PathStep.name("r")], []] {
      spec.each = each
      let block = spec.decoder(read: nil, keepsBlankLines: false).decode(RawBlock(lines: input))
      guard let numbers = block.elements else { fail("elements have no numbers") }
      expect(numbers.count == block.count && block.rejections.allSatisfy { !block.valid[$0.row] }, "rows of another number")
      for row in 0..<min(block.count, 200) {
        let (start, count) = (Int(block.offset[row]), Int(block.length[row]))
        expect(start + count <= input.count, "row \(row) ends after the text")
        if row > 0, numbers[row] > 0 {
          expect(numbers[row] == numbers[row - 1] + 1 && start > Int(block.offset[row - 1]), "row \(row) is element \(numbers[row])")
        }
        guard numbers[row] >= 0 else {
          expect(!block.valid[row], "an outer record was accepted")
          continue
        }
        let alone = JSONFormat().decoder(DecoderRequest(fields: spec.fields)).decode(
          RawBlock(records: [Array(input[start..<start + count])]))
        expect(alone.valid[0] == block.valid[row], "row \(row) alone is another verdict")
        for (column, other) in zip(block.columns, alone.columns) {
          expect(column.literal(row) == other.literal(0), "row \(row) alone is \(other.literal(0))")
        }
      }
    }
  }
}
