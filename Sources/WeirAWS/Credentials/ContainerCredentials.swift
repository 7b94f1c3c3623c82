import WeirCore

/// Keys of a container's role: ECS (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`), EKS Pod Identity (`AWS_CONTAINER_CREDENTIALS_FULL_URI`).
struct ContainerCredentials: AWSCredentialsSource {
  private static let ecs = "http://169.254.170.2"
  /// Over http: addresses of the machine itself, of ECS and of EKS. Others could be anywhere.
  private static let hosts: Set<String> = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "localhost", "[::1]"]
  private static let attemptsMax = 3
  private static let pauseNanoseconds: Int64 = 1_000_000_000
  private static let milliseconds = 2000
  private static let place = "the container's credentials service"

  private let machine: any AWSMachine

  init(_ machine: any AWSMachine) { self.machine = machine }

  func fetch() async throws(AWSFailure) -> FetchedCredentials? {
    guard let address = try address() else { return nil }
    var last = "no answer"
    for attempt in 1...ContainerCredentials.attemptsMax {
      if attempt > 1 { await machine.clock.sleep(nanoseconds: ContainerCredentials.pauseNanoseconds) }
      // The token's file is renewed.
      let headers = [.init("Accept", "application/json")] + (try await authorization())
      do throws(AWSTransportFailure) {
        let request = CredentialsRequest.local("GET", address, headers, milliseconds: ContainerCredentials.milliseconds)
        let answer = try await machine.transport.send(request)
        if answer.status == 200 { return try keys(answer) }
        last = "HTTP \(answer.status)"
      } catch {
        last = error.reason
      }
    }
    throw .credentials(.retriable, "\(ContainerCredentials.place) at \(address.scheme)://\(address.authority): \(last)")
  }

  private func keys(_ answer: AWSResponse) throws(AWSTransportFailure) -> FetchedCredentials {
    do throws(AWSFailure) {
      return try CredentialsDocument.read(
        CredentialsDocument.parsed(answer.body, place: ContainerCredentials.place), .init(), place: ContainerCredentials.place)
    } catch {
      throw AWSTransportFailure(.broken, mayBeReceived: true, error.message)
    }
  }

  private func address() throws(AWSFailure) -> AddressParts? {
    if let path = machine.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
      guard path.hasPrefix("/"), let address = AddressParts(ContainerCredentials.ecs + path) else {
        throw .credentials(.fatal, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not a path that begins with /")
      }
      return address
    }
    guard let text = machine.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") else { return nil }
    guard let address = AddressParts(text) else {
      throw .credentials(.fatal, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not an http or https address")
    }
    let isLoopback = address.host.hasPrefix("127.") && HostAddress.isAddress(address.host)
    guard address.scheme == "https" || isLoopback || ContainerCredentials.hosts.contains(address.host) else {
      throw .credentials(
        .fatal,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI names \(address.host): over http only the machine's own, ECS's and EKS's addresses are allowed")
    }
    return address
  }

  private func authorization() async throws(AWSFailure) -> [SignedRequest.Pair] {
    var token = machine.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    if let path = machine.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
      guard let bytes = try await machine.read(path) else { throw .credentials(.retriable, "the token file \(path) does not exist") }
      token = String(decoding: bytes, as: UTF8.self)
    }
    guard let token else { return [] }
    guard token.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
      throw .credentials(.fatal, "the container's authorization token contains a line end or another control character")
    }
    return [.init("Authorization", token)]
  }
}
