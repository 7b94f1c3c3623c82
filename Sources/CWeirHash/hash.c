#include "cweir_hash.h"
#define XXH_INLINE_ALL
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <xxhash.h>

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
weir_xxh3_state *weir_xxh3_copy(const weir_xxh3_state *state) {
  weir_xxh3_state *s = weir_xxh3_create();
  XXH3_copyState(&s->inner, &state->inner);
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

void weir_sha1(const void *bytes, size_t count, uint8_t *out) { SHA1(bytes, count, out); }
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
