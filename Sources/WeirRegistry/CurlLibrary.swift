import CCurl

/// The HTTP library that this process runs with, which may be newer than the one it was built with.
package enum CurlLibrary {
  package static var version: String { String(cString: weir_curl_version()) }
}
