#include "cweir_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weir_tls {
  SSL_CTX *context;
  SSL *ssl;
};

static void say(char *error, size_t bytes, const char *what) {
  unsigned long code = ERR_peek_last_error();
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  snprintf(error, bytes, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
  ERR_clear_error();
}

static int password_of_key(char *buffer, int size, int writes, void *password) {
  (void)writes;
  if (!password) return 0;
  size_t count = strlen(password);
  if (count > (size_t)size) return 0;
  memcpy(buffer, password, count);
  return (int)count;
}

static int use_key(SSL_CTX *context, const char *pem, const char *password) {
  BIO *bio = BIO_new_mem_buf(pem, -1);
  EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, password_of_key, (void *)password) : NULL;
  BIO_free(bio);
  if (!key) return 0;
  int done = SSL_CTX_use_PrivateKey(context, key);
  EVP_PKEY_free(key);
  return done;
}

static const char *configure(SSL_CTX *context, const weir_tls_settings *settings) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  int trusted = settings->authorities ? SSL_CTX_load_verify_locations(context, settings->authorities, NULL)
                                      : SSL_CTX_set_default_verify_paths(context);
  if (trusted != 1) return "the file of authorities cannot be read";
  if (settings->certificate && SSL_CTX_use_certificate_chain_file(context, settings->certificate) != 1)
    return "the certificate cannot be read";
  if (settings->key && use_key(context, settings->key, settings->key_password) != 1) return "the key cannot be read";
  return NULL;
}

static int name_peer(SSL *ssl, const weir_tls_settings *settings) {
  unsigned char address[sizeof(struct in6_addr)];
  int is_address = inet_pton(AF_INET, settings->host, address) == 1 || inet_pton(AF_INET6, settings->host, address) == 1;
  if (!is_address && SSL_set_tlsext_host_name(ssl, settings->host) != 1) return 0;
  if (!settings->checks_host) return 1;
  if (is_address) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), settings->host) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, settings->host) == 1;
}

weir_tls *weir_tls_create(int descriptor, const weir_tls_settings *settings, char *error, size_t error_bytes) {
  weir_tls *tls = calloc(1, sizeof *tls);
  if (!tls) return NULL;
  ERR_clear_error();
  const char *failed = NULL;
  tls->context = SSL_CTX_new(TLS_client_method());
  if (!tls->context) failed = "TLS cannot be set up";
  if (!failed) failed = configure(tls->context, settings);
  if (!failed) {
    tls->ssl = SSL_new(tls->context);
    if (!tls->ssl || SSL_set_fd(tls->ssl, descriptor) != 1 || !name_peer(tls->ssl, settings)) failed = "TLS cannot be set up";
  }
  if (!failed) {
    SSL_set_connect_state(tls->ssl);
    return tls;
  }
  say(error, error_bytes, failed);
  weir_tls_free(tls);
  return NULL;
}

static int result(weir_tls *tls, int code, char *error, size_t error_bytes, const char *what) {
  switch (SSL_get_error(tls->ssl, code)) {
    case SSL_ERROR_WANT_READ: return WEIR_TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE: return WEIR_TLS_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN: return WEIR_TLS_CLOSED;
    default: break;
  }
  long verified = SSL_get_verify_result(tls->ssl);
  if (verified != X509_V_OK) {
    snprintf(error, error_bytes, "the server's certificate is refused: %s", X509_verify_cert_error_string(verified));
    ERR_clear_error();
  } else {
    say(error, error_bytes, what);
  }
  return WEIR_TLS_FAILED;
}

int weir_tls_handshake(weir_tls *tls, char *error, size_t error_bytes) {
  ERR_clear_error();
  int code = SSL_do_handshake(tls->ssl);
  return code == 1 ? 1 : result(tls, code, error, error_bytes, "the TLS handshake failed");
}

long weir_tls_read(weir_tls *tls, void *bytes, size_t count, char *error, size_t error_bytes) {
  ERR_clear_error();
  size_t done = 0;
  int code = SSL_read_ex(tls->ssl, bytes, count, &done);
  return code == 1 ? (long)done : result(tls, code, error, error_bytes, "the TLS connection failed");
}

long weir_tls_write(weir_tls *tls, const void *bytes, size_t count, char *error, size_t error_bytes) {
  ERR_clear_error();
  size_t done = 0;
  int code = SSL_write_ex(tls->ssl, bytes, count, &done);
  return code == 1 ? (long)done : result(tls, code, error, error_bytes, "the TLS connection failed");
}

void weir_tls_free(weir_tls *tls) {
  if (!tls) return;
  SSL_free(tls->ssl);
  SSL_CTX_free(tls->context);
  free(tls);
}
