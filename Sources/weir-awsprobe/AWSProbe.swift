import CWeirSystem
import Glibc
import WeirAWS
import WeirCore

/// Shows what the AWS client does, for Tests/EndToEnd/aws_client_equals_botocore.py. Not shipped.
///
/// Reads a JSON object per line from standard input, and writes one per line, in the same order. `do` names what is asked:
///
///     sign       a request with given keys, at a given time
///     token      an MSK token
///     resolve    region, endpoints, and the keys' effect: the signature of a fixed request
///     send       requests through the client
///     upload     an object of a given size to S3, and the memory that it takes
///     counts     the requests so far
///
/// All of it is with the process's environment.
@main
enum AWSProbe {
  static func main() async {
    // As `weir` does.
    weir_limit_heaps(2)
    let world = ProbeWorld()
    for line in lines() {
      let answer: JSONValue
      do {
        let asked = try JSONValue(parsing: Array(line.utf8))
        answer = try await world.answer(asked)
      } catch let failure as AWSFailure {
        answer = ProbeWorld.shown(failure)
      } catch {
        answer = .members(["error": .string("\(error)")])
      }
      print(answer.text)
      fflush(nil)
    }
  }

  private static func lines() -> [String] {
    var lines: [String] = []
    while let line = readLine() { lines.append(line) }
    return lines
  }
}

struct ProbeClock: Clock {
  var monotonicNanoseconds: Int64 { read(CLOCK_BOOTTIME) }
  var wallMicroseconds: Int64 { read(CLOCK_REALTIME) / 1000 + shiftMicroseconds }
  /// `PROBE_CLOCK_SHIFT`, seconds: a clock that is wrong.
  var shiftMicroseconds: Int64 = 0

  func sleep(nanoseconds: Int64) async { try? await Task.sleep(nanoseconds: UInt64(max(0, nanoseconds))) }

  private func read(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}

struct ProbeRandom: RandomSource {
  func next() -> UInt64 { .random(in: .min ... .max) }
}
