import WeirCore
import WeirOperators

/// How a field's values are read from text, as a pipeline file has it.
package struct PlanCoercion {
  package var zone: PlanText?
  package var formats: [PlanText]?
  /// Of the setting.
  package var span: SourceSpan?
  /// The field says so itself, and not the record for all of its fields.
  package var isOwn = false
  /// The field leaves it off where the record has it on.
  package var isOff = false

  package init() {}
}

extension PlanBuilder {
  /// Forms of a field's times.
  private static let formatsMax = 20

  /// Before the fields: `coerce` of the whole record.
  package func coerces(_ isOn: Bool, at span: SourceSpan?) {
    if let problem = textProblem(isOn) { diagnostics.report("record.coerce: \(problem)", "bad_value", at: span) }
  }

  /// Why the setting would have no effect.
  private func textProblem(_ isOn: Bool) -> String? {
    let format = plan.record.recordFormat
    guard format.isText, !isOn else { return nil }
    return "values of \(type(of: format).name) are always read from text: leave it out"
  }

  func coerce(_ field: inout Field, _ coerce: PlanCoercion) {
    let what = "field \(field.name)"
    guard !coerce.isOff else {
      if let problem = textProblem(false) { diagnostics.report("\(what): coerce: \(problem)", "bad_value", at: coerce.span) }
      return
    }
    if field.type.isNested {
      if coerce.isOwn {
        diagnostics.report("\(what): coerce: \(field.type.name) cannot be read from text", "bad_value", at: coerce.span)
      }
      return
    }
    if field.encoding == .json {
      if coerce.isOwn { diagnostics.report("\(what): coerce: json is any value's text already", "bad_value", at: coerce.span) }
      return
    }
    if let problem = plan.record.recordFormat.problem(withCoercionOf: field) {
      diagnostics.report("\(coerce.isOwn ? what : "record"): coerce: \(problem)", "bad_value", at: coerce.span)
      return
    }
    if coerce.zone != nil || coerce.formats != nil, field.type != .timestamp || field.encoding != .natural {
      diagnostics.report("\(what): zone and formats are of fields with the type timestamp", "bad_value", at: coerce.span)
      return
    }
    field.coerce = Coercion(zone: coerce.zone.flatMap { zone($0, what) }, formats: coerce.formats.flatMap { formats($0, coerce, what) })
  }

  private func zone(_ text: PlanText, _ what: String) -> String? {
    if let kind = ZoneRules.otherKind(text.text) {
      diagnostics.report(
        "\(what).zone: \(text.text.shortened(toBytes: 100)) is \(kind): write a zone such as Europe/Berlin or UTC", "bad_value",
        at: text.span)
      return nil
    }
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
    let found = texts.compactMap { text -> TimeFormat? in
      do throws(TimeFormat.Fault) {
        let format = try TimeFormat(text.text)
        if !format.hasZone, coerce.zone == nil {
          diagnostics.report(
            "\(what).formats: \(text.text.shortened(toBytes: 100)) has no zone: add %z if the times have one, or zone: Europe/Berlin, say",
            "missing_key", at: text.span)
        }
        return format
      } catch {
        diagnostics.report(
          "\(what).formats: \(text.text.shortened(toBytes: 100)) is not a form of times: \(error.reason)", "bad_value", at: text.span,
          offset: error.offset, in: text.text)
        return nil
      }
    }
    if let zone = coerce.zone, found.count == texts.count, found.allSatisfy(\.hasZone) {
      diagnostics.report("\(what).zone: all its formats have %z, so it has no effect", "no_effect", at: zone.span, severity: .warning)
    }
    return found.count == texts.count ? texts.map(\.text) : nil
  }
}
