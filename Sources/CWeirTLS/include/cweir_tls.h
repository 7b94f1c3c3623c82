// One TLS client connection over a connected socket, by OpenSSL 3. For blocking callers that wait with poll(2) themselves: the socket is
// non-blocking, and each call says what to wait for. A connection is used by one thread at a time.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// What a caller may ask of the other side, and show of itself. Strings are UTF-8; NULL: not set.
typedef struct {
  /// Host name or address: sent as SNI if it is a name, and compared with the certificate.
  const char *host;
  /// 0: the name in the certificate is not compared.
  int checks_host;
  /// PEM file of authorities; NULL: those of the system.
  const char *authorities;
  /// PEM files of an own certificate and its key.
  const char *certificate;
  /// The key itself, PEM, or NULL.
  const char *key;
  const char *key_password;
} weir_tls_settings;

typedef struct weir_tls weir_tls;

/// Results of the calls below that are not a count of bytes.
enum { WEIR_TLS_CLOSED = 0, WEIR_TLS_FAILED = -1, WEIR_TLS_WANTS_READ = -2, WEIR_TLS_WANTS_WRITE = -3 };

/// A connection over the socket, which stays the caller's. NULL: it cannot be set up, and `error` (of `error_bytes`) says why.
weir_tls *weir_tls_create(int descriptor, const weir_tls_settings *settings, char *error, size_t error_bytes);
/// Continues the handshake: 1 done, else a result. The name and the chain were checked when it is done.
int weir_tls_handshake(weir_tls *tls, char *error, size_t error_bytes);
/// Bytes that were read, or a result.
long weir_tls_read(weir_tls *tls, void *bytes, size_t count, char *error, size_t error_bytes);
/// Bytes that were written, or a result.
long weir_tls_write(weir_tls *tls, const void *bytes, size_t count, char *error, size_t error_bytes);
void weir_tls_free(weir_tls *tls);
