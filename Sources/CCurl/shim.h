#ifndef WEIR_CCURL_SHIM_H
#define WEIR_CCURL_SHIM_H

#include <curl/curl.h>

// curl_easy_setopt and curl_easy_getinfo take a variable number of arguments, which Swift cannot call.

static inline CURLcode weir_curl_set_text(CURL *curl, CURLoption option, const char *value) {
  return curl_easy_setopt(curl, option, value);
}

static inline CURLcode weir_curl_set_long(CURL *curl, CURLoption option, long value) {
  return curl_easy_setopt(curl, option, value);
}

static inline CURLcode weir_curl_set_headers(CURL *curl, struct curl_slist *headers) {
  return curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
}

// Text of a private key, copied.
static inline CURLcode weir_curl_set_key(CURL *curl, const char *pem, size_t size) {
  struct curl_blob blob = {.data = (void *)pem, .len = size, .flags = CURL_BLOB_COPY};
  return curl_easy_setopt(curl, CURLOPT_SSLKEY_BLOB, &blob);
}

static inline CURLcode weir_curl_set_writer(
    CURL *curl, size_t (*writer)(char *bytes, size_t size, size_t count, void *context), void *context) {
  CURLcode code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, writer);
  return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_WRITEDATA, context);
}

// HTTP's status; 0 without an answer.
static inline long weir_curl_status(CURL *curl) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

// Of the library that this process runs with.
static inline const char *weir_curl_version(void) { return curl_version_info(CURLVERSION_NOW)->version; }

static inline CURLcode weir_curl_begin(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }

#endif
