import Glibc
import Testing
import WeirCore
import WeirTesting

@testable import WeirAWS

struct SystemMachineTests {
  private let machine = SystemAWSMachine(
    transport: ScriptedTransport([]), clock: ManualClock(.moves), random: CountingRandom(), threads: BlockingThreads(count: 1))

  @Test func `a file that is missing is nil, and one that cannot be read is an error`() async throws {
    #expect(try await machine.read("/not/there") == nil)
    #expect(try await machine.read("/etc/hostname/x") == nil)
    await #expect(throws: AWSFailure.self) { try await machine.read("/etc") }
    await #expect(throws: AWSFailure.self) { try await machine.read("/dev/zero") }
    #expect(try await machine.read(#filePath)?.isEmpty == false)
  }

  @Test func `paths may begin with the home directory`() {
    var test = TestMachine()
    test.variables["HOME"] = "/h"
    #expect(["~", "~/a", "~b", "/c"].map(test.expanded) == ["/h", "/h/a", "~b", "/c"])
  }
}
