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

// The multi interface, for requests that run side by side on one thread.

static inline CURLMcode weir_curl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
  return curl_multi_setopt(multi, option, value);
}

static inline CURLcode weir_curl_set_large(CURL *curl, CURLoption option, curl_off_t value) {
  return curl_easy_setopt(curl, option, value);
}

// CURLOPT_ERRORBUFFER, CURLOPT_PRIVATE
static inline CURLcode weir_curl_set_pointer(CURL *curl, CURLoption option, void *value) {
  return curl_easy_setopt(curl, option, value);
}

static inline CURLcode weir_curl_set_header_reader(
    CURL *curl, size_t (*reader)(char *bytes, size_t size, size_t count, void *context), void *context) {
  CURLcode code = curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, reader);
  return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_HEADERDATA, context);
}

// The body of a request; `seek` goes back in it when libcurl itself sends the request once more.
static inline CURLcode weir_curl_set_body(
    CURL *curl, size_t (*reader)(char *bytes, size_t size, size_t count, void *context),
    int (*seek)(void *context, curl_off_t offset, int origin), void *context) {
  CURLcode code = curl_easy_setopt(curl, CURLOPT_READFUNCTION, reader);
  if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_READDATA, context);
  if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, seek);
  return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_SEEKDATA, context);
}

// The next transfer that has ended, or NULL; its code.
static inline CURL *weir_curl_multi_next_done(CURLM *multi, CURLcode *code) {
  int left = 0;
  CURLMsg *message;
  while ((message = curl_multi_info_read(multi, &left))) {
    if (message->msg != CURLMSG_DONE) continue;
    *code = message->data.result;
    return message->easy_handle;
  }
  return NULL;
}

// CURLOPT_PRIVATE's value.
static inline void *weir_curl_private(CURL *curl) {
  char *value = NULL;
  curl_easy_getinfo(curl, CURLINFO_PRIVATE, &value);
  return value;
}

// Bytes of request lines and headers that were sent; 0: nothing of the request can have been received.
static inline long weir_curl_request_bytes(CURL *curl) {
  long bytes = 0;
  curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &bytes);
  return bytes;
}

// Of the library that this process runs with.
static inline const char *weir_curl_version(void) { return curl_version_info(CURLVERSION_NOW)->version; }

static inline CURLcode weir_curl_begin(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }

#endif
