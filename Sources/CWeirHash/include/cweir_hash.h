// XXH3-128 and SHA-256, over the libraries that have them. Stateless but for the running hash, which its owner holds.
#ifndef CWEIR_HASH_H
#define CWEIR_HASH_H
#include <stddef.h>
#include <stdint.h>

typedef struct { uint64_t low, high; } weir_hash128;

/// XXH3-128 of `count` bytes with `seed` (https://github.com/Cyan4973/xxHash, stable since 0.8.0).
weir_hash128 weir_xxh3_128(const void *bytes, size_t count, uint64_t seed);

/// A running XXH3-128. `weir_xxh3_digest` does not end the stream.
typedef struct weir_xxh3_state weir_xxh3_state;
weir_xxh3_state *weir_xxh3_create(void);
weir_xxh3_state *weir_xxh3_copy(const weir_xxh3_state *state);
void weir_xxh3_free(weir_xxh3_state *state);
void weir_xxh3_update(weir_xxh3_state *state, const void *bytes, size_t count);
weir_hash128 weir_xxh3_digest(const weir_xxh3_state *state);

/// SHA-256 of `count` bytes into 32 bytes at `out`.
void weir_sha256(const void *bytes, size_t count, uint8_t *out);
/// SHA-1 of `count` bytes into 20 bytes at `out`: for names that other programs derive with it, never for trust.
void weir_sha1(const void *bytes, size_t count, uint8_t *out);
/// A running SHA-256.
typedef struct weir_sha256_state weir_sha256_state;
weir_sha256_state *weir_sha256_create(void);
void weir_sha256_update(weir_sha256_state *state, const void *bytes, size_t count);
/// Writes the digest to `out` (32 bytes) and frees the state.
void weir_sha256_finish(weir_sha256_state *state, uint8_t *out);

#endif
