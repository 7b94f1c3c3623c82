import Foundation
import WeirReport

/// Round numbers along an axis: steps of 1, 2 or 5 times a power of ten.
struct AxisTicks {
  let step: Double
  /// From 0 to the first multiple of the step that is not below the maximum.
  let values: [Double]

  /// - Parameter count: about as many steps.
  init(max: Double, count: Int = 4) {
    let wanted = Swift.max(max, 1e-9) / Double(count)
    let power = pow(10, floor(log10(wanted)))
    let step = power * ([1, 2, 5].first { $0 * power >= wanted * (1 - 1e-9) } ?? 10)
    self.step = step
    values = (0...Int((max / step - 1e-9).rounded(.up))).map { Double($0) * step }
  }

  /// `0.2`, `50`, `1.5k`, `20k`: as exact as the step.
  func text(_ value: Double) -> String {
    let (divisor, suffix) = step >= 1e6 ? (1e6, "M") : (values.last ?? 0) >= 10_000 ? (1e3, "k") : (1, "")
    let digits = Swift.max(0, Int(-floor(log10(step / divisor) + 1e-9)))
    return Human.fixed(value / divisor, value == 0 ? 0 : digits) + (value == 0 ? "" : suffix)
  }
}

/// A chart whose lines stretch with the page, and whose labels do not: they are text of the page.
struct LoadChart {
  struct Line {
    var name: String
    /// The colour's number in the page's style sheet.
    var color: Int
    var points: [(x: Double, y: Double)]
  }

  /// Units of the drawing, for both directions.
  private static let size = 1000.0

  var title: String
  var unit: String
  var lines: [Line]
  /// Labels of the x axis, and where they are; nil: round numbers of seconds.
  var marks: [(x: Double, text: String)]?

  /// Empty where there is nothing to draw.
  var html: String {
    let all = lines.flatMap(\.points)
    guard let last = all.map(\.x).max(), all.count > 1, last > 0 else { return "" }
    let ticks = AxisTicks(max: all.map(\.y).max() ?? 1)
    let top = ticks.values.last ?? 1
    let seconds = AxisTicks(max: last)
    let below = marks ?? seconds.values.filter { $0 <= last }.map { ($0, seconds.text($0)) }
    func x(_ value: Double) -> String { Human.fixed(value / last * LoadChart.size, 1) }
    func y(_ value: Double) -> String { Human.fixed((1 - value / top) * LoadChart.size, 1) }
    func percent(_ share: Double) -> String { Human.fixed(share * 100, 2) + "%" }

    var drawing = ""
    for value in ticks.values { drawing += "<line class=\"grid\" x1=\"0\" x2=\"1000\" y1=\"\(y(value))\" y2=\"\(y(value))\"/>" }
    for line in lines {
      drawing += "<polyline class=\"c\(line.color)\" points=\"\(line.points.map { "\(x($0.x)),\(y($0.y))" }.joined(separator: " "))\"/>"
    }
    var labels = ""
    for value in ticks.values { labels += "<span class=\"y\" style=\"bottom:\(percent(value / top))\">\(ticks.text(value))</span>" }
    for mark in below { labels += "<span class=\"x\" style=\"left:\(percent(mark.x / last))\">\(mark.text)</span>" }
    let legend = lines.count < 2 ? "" : lines.map { "<span class=\"key k\($0.color)\">\(LoadPage.escaped($0.name))</span>" }.joined()
    let kind = marks == nil ? "\(unit), by seconds since the start" : unit
    return """
      <figure><h2>\(LoadPage.escaped(title))</h2><figcaption>\(LoadPage.escaped(kind)) \(legend)</figcaption>
      <div class="plot"><svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label="\(LoadPage.escaped(title))">\(drawing)</svg>\(labels)</div></figure>
      """
  }
}
