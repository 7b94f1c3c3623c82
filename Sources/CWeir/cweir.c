#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include "cweir.h"
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <errno.h>
#include <locale.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

weir_hash128 weir_xxh3_128(const void *bytes, size_t count, uint64_t seed) {
  XXH128_hash_t h = XXH3_128bits_withSeed(bytes, count, seed);
  return (weir_hash128){h.low64, h.high64};
}

struct weir_xxh3_state { XXH3_state_t inner; };

weir_xxh3_state *weir_xxh3_create(void) {
  weir_xxh3_state *s = aligned_alloc(64, (sizeof(weir_xxh3_state) + 63) / 64 * 64);
  XXH3_128bits_reset(&s->inner);
  return s;
}
void weir_xxh3_free(weir_xxh3_state *state) { free(state); }
void weir_xxh3_update(weir_xxh3_state *state, const void *bytes, size_t count) {
  XXH3_128bits_update(&state->inner, bytes, count);
}
weir_hash128 weir_xxh3_digest(const weir_xxh3_state *state) {
  XXH128_hash_t h = XXH3_128bits_digest(&state->inner);
  return (weir_hash128){h.low64, h.high64};
}

void weir_sha256(const void *bytes, size_t count, uint8_t *out) { SHA256(bytes, count, out); }

struct weir_sha256_state { EVP_MD_CTX *context; };
weir_sha256_state *weir_sha256_create(void) {
  weir_sha256_state *s = malloc(sizeof *s);
  s->context = EVP_MD_CTX_new();
  EVP_DigestInit_ex(s->context, EVP_sha256(), NULL);
  return s;
}
void weir_sha256_update(weir_sha256_state *state, const void *bytes, size_t count) {
  EVP_DigestUpdate(state->context, bytes, count);
}
void weir_sha256_finish(weir_sha256_state *state, uint8_t *out) {
  EVP_DigestFinal_ex(state->context, out, NULL);
  EVP_MD_CTX_free(state->context);
  free(state);
}

int weir_errno(void) { return errno; }

int weir_parse_double(const char *text, size_t count, double *out) {
  char small[64];
  char *copy = count < sizeof small ? small : malloc(count + 1);
  memcpy(copy, text, count);
  copy[count] = 0;
  char *end;
  *out = strtod(copy, &end);  // the process never calls setlocale, so this is the C locale
  int whole = end == copy + count;
  if (copy != small) free(copy);
  return whole;
}

void weir_limit_heaps(int count) { mallopt(M_ARENA_MAX, count); }

void weir_return_memory(int bytes) {
  mallopt(M_MMAP_THRESHOLD, bytes);
  mallopt(M_TRIM_THRESHOLD, bytes);
  mallopt(M_TOP_PAD, 64 << 10);
}

void weir_trim_heaps(void) { malloc_trim(0); }

void *weir_resize(void *bytes, size_t count) {
  void *resized = realloc(bytes, count);
  if (!resized) abort();
  return resized;
}

int weir_o_direct(void) { return O_DIRECT; }

void weir_release(void *bytes) { free(bytes); }

// Counted 16 bytes at once: nearly all texts have fewer lines, and only their end says so.
typedef uint8_t weir_bytes __attribute__((vector_size(16)));

static size_t count_lines(const uint8_t *text, size_t count) {
  size_t lines = 0, at = 0;
  while (count - at >= 16) {
    weir_bytes sums = {0};
    // 255 rounds at most: then a sum may be full.
    for (int round = 0; round < 255 && count - at >= 16; round++, at += 16) {
      weir_bytes some;
      memcpy(&some, text + at, 16);
      sums -= (weir_bytes)(some == '\n');
    }
    for (int i = 0; i < 16; i++) lines += sums[i];
  }
  for (; at < count; at++) lines += text[at] == '\n';
  return lines;
}

const uint8_t *weir_line_end(const uint8_t *text, size_t count, size_t lines) {
  const uint8_t *at = text, *end = text + count;
  while (at < end) {
    size_t part = (size_t)(end - at) < 4080 ? (size_t)(end - at) : 4080;
    size_t found = count_lines(at, part);
    if (found >= lines) break;
    lines -= found;
    at += part;
  }
  while (at < end) {
    at = memchr(at, '\n', (size_t)(end - at));
    if (!at) return NULL;
    at++;
    if (--lines == 0) return at;
  }
  return NULL;
}
