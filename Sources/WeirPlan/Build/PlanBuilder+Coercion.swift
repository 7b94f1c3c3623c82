import WeirCore
import WeirOperators

/// How a field's values are read from text, as a pipeline file has it.
public struct PlanCoercion {
  public var zone: PlanText?
  public var formats: [PlanText]?
  /// Of the setting.
  public var span: SourceSpan?
  /// The field says so itself, and not the record for all of its fields.
  public var isOwn = false
  /// The field leaves it off where the record has it on.
  public var isOff = false

  public init() {}
}

extension PlanBuilder {
  /// Forms of a field's times.
  private static let formatsMax = 20

  func coerce(_ field: inout Field, _ coerce: PlanCoercion) {
    guard !coerce.isOff else { return }
    let what = "field \(field.name)"
    if field.type.isNested {
      if coerce.isOwn {
        diagnostics.report("\(what): coerce: \(field.type.name) cannot be read from text", "bad_value", at: coerce.span)
      }
      return
    }
    if let problem = plan.record.recordFormat.problem(withCoercionOf: field) {
      diagnostics.report("\(what): coerce: \(problem)", "bad_value", at: coerce.span)
      return
    }
    if coerce.zone != nil || coerce.formats != nil, field.type != .timestamp || field.encoding != .natural {
      diagnostics.report("\(what): zone and formats are of fields with the type timestamp", "bad_value", at: coerce.span)
      return
    }
    field.coerce = Coercion(zone: coerce.zone.flatMap { zone($0, what) }, formats: coerce.formats.flatMap { formats($0, coerce, what) })
  }

  private func zone(_ text: PlanText, _ what: String) -> String? {
    if ZoneRules.named(text.text) != nil { return text.text }
    diagnostics.report(
      "\(what).zone: the time zone database of this machine has no \(text.text.shortened(toBytes: 100)): a zone is a name such as Europe/Berlin or UTC",
      "bad_value", at: text.span)
    return nil
  }

  private func formats(_ texts: [PlanText], _ coerce: PlanCoercion, _ what: String) -> [String]? {
    guard (1...PlanBuilder.formatsMax).contains(texts.count) else {
      diagnostics.report("\(what).formats: 1 to \(PlanBuilder.formatsMax) forms are possible (time_formats)", "bad_value", at: coerce.span)
      return nil
    }
    return texts.compactMap { text in
      do throws(TimeFormat.Fault) {
        let format = try TimeFormat(text.text)
        if !format.hasZone, coerce.zone == nil {
          diagnostics.report(
            "\(what).formats: \(text.text.shortened(toBytes: 100)) has no zone: add %z if the times have one, or zone: Europe/Berlin, say",
            "missing_key", at: text.span)
        }
        return text.text
      } catch {
        diagnostics.report(
          "\(what).formats: \(text.text.shortened(toBytes: 100)) is not a form of times: \(error.reason)", "bad_value", at: text.span,
          offset: error.offset)
        return nil
      }
    }
  }
}
