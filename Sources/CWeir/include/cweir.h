// Small stateless C helpers that Swift cannot import or cannot make as fast: XXH3, SHA-256 and a byte scan.
#ifndef CWEIR_H
#define CWEIR_H
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>

typedef struct { uint64_t low, high; } weir_hash128;

/// XXH3-128 of `count` bytes with `seed` (https://github.com/Cyan4973/xxHash, stable since 0.8.0).
weir_hash128 weir_xxh3_128(const void *bytes, size_t count, uint64_t seed);

/// A running XXH3-128. `weir_xxh3_digest` does not end the stream.
typedef struct weir_xxh3_state weir_xxh3_state;
weir_xxh3_state *weir_xxh3_create(void);
void weir_xxh3_free(weir_xxh3_state *state);
void weir_xxh3_update(weir_xxh3_state *state, const void *bytes, size_t count);
weir_hash128 weir_xxh3_digest(const weir_xxh3_state *state);

/// SHA-256 of `count` bytes into 32 bytes at `out`.
void weir_sha256(const void *bytes, size_t count, uint8_t *out);
typedef struct weir_sha256_state weir_sha256_state;
weir_sha256_state *weir_sha256_create(void);
void weir_sha256_update(weir_sha256_state *state, const void *bytes, size_t count);
/// Writes the digest to `out` (32 bytes) and frees the state.
void weir_sha256_finish(weir_sha256_state *state, uint8_t *out);

/// `errno` of the calling thread: Swift's own `errno` is imported too, this is for call sites without Glibc.
int weir_errno(void);

/// The correctly rounded double of the decimal text (C locale). Returns 0 when not all `count` bytes were read.
int weir_parse_double(const char *text, size_t count, double *out);

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/// Names the calling thread, for `top -H` and debuggers. In C since prctl takes a variable number of arguments.
static inline void weir_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// Asks for the cache line at `place`; a wrong address does no harm.
static inline void weir_prefetch(const void *place) { __builtin_prefetch(place, 1, 3); }

#include <string.h>
/// The first "\n" at or after `at` and before `end`; `end` if none.
static inline const uint8_t *weir_find_newline(const uint8_t *at, const uint8_t *end) {
  const uint8_t *found = (const uint8_t *)memchr(at, '\n', (size_t)(end - at));
  return found ? found : end;
}

/// The first byte at or after `at` and before `end` that is '"', '\\', below 0x20 or above 0x7F; `end` if none.
/// Reads at most up to `end` rounded up by 15 bytes: the buffer must have 16 bytes of slack behind `end`.
static inline const uint8_t *weir_scan_string(const uint8_t *at, const uint8_t *end) {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
  while (at < end) {
    __m128i v = _mm_loadu_si128((const __m128i *)at);
    // signed compare: bytes above 0x7F are negative, so "below 0x20" takes them and the controls at once
    __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)), _mm_cmplt_epi8(v, space));
    unsigned mask = (unsigned)_mm_movemask_epi8(hit);
    if (mask) {
      const uint8_t *p = at + __builtin_ctz(mask);
      return p < end ? p : end;
    }
    at += 16;
  }
  return end;
#else
  while (at < end && *at != '"' && *at != '\\' && *at >= 0x20 && *at < 0x80) at++;
  return at;
#endif
}

/// Where line `lines` (from 1) of the text ends: behind its "\n". NULL if there are fewer lines.
const uint8_t *weir_line_end(const uint8_t *text, size_t count, size_t lines);

/// O_DIRECT of open(2), which is no plain number to Swift.
int weir_o_direct(void);

/// glibc's M_ARENA_MAX, which Swift does not import.
void weir_limit_heaps(int count);
// Blocks of so many bytes and more go back to the system as soon as they are freed, and so does what is free at a heap's end.
void weir_return_memory(int bytes);
// Gives everything that is free back to the system.
void weir_trim_heaps(void);
// realloc(): large blocks are moved by their pages, so that they never lie in memory twice.
void *weir_resize(void *bytes, size_t count);
void weir_release(void *bytes);
/// Whether a descriptor's file is on one of the kernel's own file systems (procfs, sysfs, ...): 1, 0, or -1 with errno.
int weir_is_kernel_file(int descriptor);

#endif
