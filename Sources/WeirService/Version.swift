/// The version of Weir.
public let weirVersion = "0.1.0"
