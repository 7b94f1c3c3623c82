/// Names longer than this have no suggestion: comparing costs the product of both lengths.
private let lengthMax = 64
/// No more candidates are looked at.
private let candidatesMax = 4096

/// The candidate nearest to `name`, if one is near: at most a third of its letters differ (Damerau-Levenshtein).
///
/// The cost is bounded: nil for a name of more than 64 bytes, and only the first 4,096 candidates count.
package func nearestName(_ name: String, in candidates: [String]) -> String? {
  guard name.utf8.count <= lengthMax else { return nil }
  let wanted = Array(name.lowercased())
  let limit = max(1, wanted.count / 3)
  var best: (name: String, distance: Int)?
  for candidate in candidates.prefix(candidatesMax) where candidate.utf8.count <= 2 * lengthMax {
    let letters = Array(candidate.lowercased())
    guard abs(letters.count - wanted.count) <= limit else { continue }
    let distance = editDistance(wanted, letters)
    guard distance <= limit else { continue }
    if best.map({ (distance, candidate) < ($0.distance, $0.name) }) ?? true { best = (candidate, distance) }
  }
  return best?.name
}

private func editDistance(_ a: [Character], _ b: [Character]) -> Int {
  var before = [Int](repeating: 0, count: b.count + 1)
  var previous = Array(0...b.count)
  for i in 0..<a.count {
    var row = [i + 1]
    for j in 0..<b.count {
      var best = min(previous[j] + (a[i] == b[j] ? 0 : 1), previous[j + 1] + 1, row[j] + 1)
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
      row.append(best)
    }
    before = previous
    previous = row
  }
  return previous[b.count]
}
