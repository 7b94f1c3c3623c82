import WeirCore
import WeirGlueSettings
import WeirOperators
import WeirPlan
import WeirS3Settings
import Yams

/// `catalog: {glue: DATABASE}`, or with settings: `catalog: {glue: {database: …, prefix: …, create: false, region: …, endpoint: …}}`.
extension PipelineLoader {
  /// After the tables and the lake, whose names it checks.
  func catalog(_ node: Node) {
    let members = reader.mapping(node, "catalog", .catalog)
    guard let section = reader.required(members, GlueSettings.adapter, of: "catalog", at: node) else { return }
    guard let settings = glue(section) else { return }
    // A path that was refused is reported already.
    if reader.diagnostics.contains(where: { $0.severity == .error && $0.part == .lakePath }) { return }
    guard S3Location.accepts(builder.plan.lake.path) else {
      reader.report(
        "catalog.glue registers tables that are in S3, and lake.path is \(builder.plan.lake.path): write lake: {path: s3://BUCKET/PREFIX}, or leave catalog out",
        "bad_value", at: section)
      return
    }
    builder.set { $0.catalog = CatalogSpec(adapter: GlueSettings.adapter, settings: settings.options) }
    // Of a plan with errors the tables are not all known.
    guard !reader.diagnostics.contains(where: { $0.severity == .error }) else { return }
    let tables = builder.plan.tables.map { table in (path: table.name, columns: table.columns.map(\.name)) }
    if let problem = GlueNames.problem(tables, prefix: settings.prefix) {
      reader.report("catalog.glue: \(problem)", "bad_name", at: section)
    }
  }

  private func glue(_ node: Node) -> GlueSettings? {
    let what = "catalog.glue"
    var options: [String: String] = [:]
    var members: [String: Node] = [:]
    if node.mapping == nil {
      guard let database = reader.string(node, what) else { return nil }
      options[GlueSettings.Option.database.rawValue] = database
    } else {
      members = reader.mapping(node, what, .glue)
      guard reader.required(members, "database", of: what, at: node) != nil else { return nil }
      for (name, value) in members { options[name] = reader.string(value, "\(what).\(name)") }
    }
    do throws(GlueSettings.Problem) { return try GlueSettings(options) } catch {
      let place = members.isEmpty ? what : error.option.map { "\(what).\($0.rawValue)" } ?? what
      reader.report("\(place): \(error.reason)", "bad_value", at: error.option.flatMap { members[$0.rawValue] } ?? node)
      return nil
    }
  }
}
