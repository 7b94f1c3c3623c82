import Glibc

#if LIBFUZZER
  @_silgen_name("LLVMFuzzerRunDriver")
  private func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
  ) -> CInt
#endif

/// The driver that looks at the program: coverage leads it to inputs that the mutator does not find.
enum LibFuzzer {
  #if LIBFUZZER
    nonisolated(unsafe) private static var target: FuzzTarget?

    static func run(_ target: FuzzTarget, _ arguments: [String]) {
      self.target = target
      var pointers: [UnsafeMutablePointer<CChar>?] = (["weir-fuzz"] + arguments).map { (text: String) in strdup(text) } + [nil]
      var count = CInt(pointers.count - 1)
      pointers.withUnsafeMutableBufferPointer { all in
        var base = all.baseAddress
        _ = runDriver(&count, &base) { bytes, count in
          LibFuzzer.target?.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
          return 0
        }
      }
    }
  #else
    static func run(_ target: FuzzTarget, _ arguments: [String]) {
      WeirFuzz.stop("weir-fuzz: this build has no libFuzzer; `Scripts/prove fuzz` makes one")
    }
  #endif
}
