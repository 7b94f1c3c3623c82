/// Ends the current operation with `internal` if a rule does not hold that the program's own code keeps.
///
/// For what cannot happen unless Weir has a bug: nothing more is written, the message names the rule, and the next session starts from the
/// ledger. Bytes from outside are checked elsewhere, and are `corrupt`.
package func invariant(_ holds: @autoclosure () -> Bool, _ rule: @autoclosure () -> String) throws(WeirError) {
  guard holds() else { throw WeirError(.internal, rule()) }
}
