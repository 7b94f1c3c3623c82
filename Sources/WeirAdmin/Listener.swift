import Glibc
import WeirCore
import WeirPlan

/// A socket that listens. Blocks while a name is looked up.
struct Listener: ~Copyable {
  let descriptor: Int32
  /// Another than asked for if that was 0.
  let port: Int

  private static let backlog: Int32 = 256

  /// - Throws: `admin` when the address cannot be had.
  init(_ address: AdminAddress) throws {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(address.host, String(address.port), &hints, &list)
    guard code == 0, let list else { throw Listener.refused(address, String(cString: gai_strerror(code))) }
    defer { freeaddrinfo(list) }
    var reason: Int32 = 0
    var next: UnsafeMutablePointer<addrinfo>? = list
    // A name can have several addresses: the first one that can be had.
    while let found = next?.pointee {
      if let (descriptor, port) = Listener.listen(found) {
        (self.descriptor, self.port) = (descriptor, port)
        return
      }
      reason = errno
      next = found.ai_next
    }
    throw Listener.refused(address, String(cString: strerror(reason)))
  }

  deinit { close(descriptor) }

  /// The descriptor belongs to another now.
  consuming func release() { discard self }

  /// nil with `errno` set.
  private static func listen(_ found: addrinfo) -> (Int32, Int)? {
    let descriptor = socket(found.ai_family, found.ai_socktype | Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), found.ai_protocol)
    guard descriptor >= 0 else { return nil }
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    var bound = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let isBound = withUnsafeMutablePointer(to: &bound) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, found.ai_addr, found.ai_addrlen) == 0 && Glibc.listen(descriptor, backlog) == 0
          && getsockname(descriptor, $0, &size) == 0
      }
    }
    guard isBound else {
      let reason = errno
      close(descriptor)
      errno = reason
      return nil
    }
    // The port is at the same place for both families (sockaddr_in, sockaddr_in6).
    let port = withUnsafeBytes(of: bound) { $0.load(fromByteOffset: 2, as: UInt16.self).bigEndian }
    return (descriptor, Int(port))
  }

  private static func refused(_ address: AdminAddress, _ why: String) -> WeirError {
    WeirError(
      .admin, "the admin server cannot listen on \(address.text): \(why)",
      advice:
        "Check whether another program uses this port, or set another address: admin.listen in the pipeline, or --admin HOST:PORT (port 0: any free port)."
    )
  }
}
