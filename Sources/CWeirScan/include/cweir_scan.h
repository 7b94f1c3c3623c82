// Scans of text, and numbers in text. Stateless.
//
// The scan of JSON strings has a version for SSE2, one for NEON and a scalar one. `weir_scan_string` is the best of those that the
// processor has; the others are visible so that tests can compare them (on x86-64, CWEIR_SCAN_NEON comes from SIMDe: see Tests/CScanNEON).
#ifndef CWEIR_SCAN_H
#define CWEIR_SCAN_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__ARM_NEON) && !defined(CWEIR_SCAN_NEON)
#include <arm_neon.h>
#define CWEIR_SCAN_NEON 1
#endif

/// The first "\n" at or after `at` and before `end`; `end` if none.
static inline const uint8_t *weir_find_newline(const uint8_t *at, const uint8_t *end) {
  const uint8_t *found = (const uint8_t *)memchr(at, '\n', (size_t)(end - at));
  return found ? found : end;
}

/// As `weir_scan_string`, a byte at a time; reads nothing beyond `end`.
static inline const uint8_t *weir_scan_string_scalar(const uint8_t *at, const uint8_t *end) {
  while (at < end && *at != '"' && *at != '\\' && *at >= 0x20 && *at < 0x80) at++;
  return at;
}

#if defined(__SSE2__)
static inline const uint8_t *weir_scan_string_sse2(const uint8_t *at, const uint8_t *end) {
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
}
#endif

#if defined(CWEIR_SCAN_NEON)
static inline const uint8_t *weir_scan_string_neon(const uint8_t *at, const uint8_t *end) {
  const uint8x16_t quote = vdupq_n_u8('"'), slash = vdupq_n_u8('\\');
  const int8x16_t space = vdupq_n_s8(0x20);
  while (at < end) {
    uint8x16_t v = vld1q_u8(at);
    uint8x16_t hit = vorrq_u8(vorrq_u8(vceqq_u8(v, quote), vceqq_u8(v, slash)), vcltq_s8(vreinterpretq_s8_u8(v), space));
    // NEON has no movemask: the upper half of each byte, 4 bits a byte (a narrowing shift).
    uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hit), 4)), 0);
    if (mask) {
      const uint8_t *p = at + (__builtin_ctzll(mask) >> 2);
      return p < end ? p : end;
    }
    at += 16;
  }
  return end;
}
#endif

/// The first byte at or after `at` and before `end` that is '"', '\\', below 0x20 or above 0x7F; `end` if none.
/// Reads at most up to `end` rounded up by 15 bytes: the buffer must have 16 bytes of slack after `end`.
static inline const uint8_t *weir_scan_string(const uint8_t *at, const uint8_t *end) {
#if defined(__SSE2__)
  return weir_scan_string_sse2(at, end);
#elif defined(__ARM_NEON)
  return weir_scan_string_neon(at, end);
#else
  return weir_scan_string_scalar(at, end);
#endif
}

/// Finds the delimiters of a row: `ends` gets the offsets of the first `max`.
/// `flags` gets 1 if there is a byte `quote` (0: none is looked for), and 2 if there is one above 0x7F.
/// Reads at most up to `end` rounded up by 15 bytes, as `weir_scan_string`. Returns the number of delimiters.
static inline uint32_t weir_split(
    const uint8_t *start, const uint8_t *end, uint8_t delimiter, uint8_t quote, uint32_t *ends, uint32_t max, uint32_t *flags) {
  uint32_t found = 0, seen = 0;
  const uint8_t *at = start;
#if defined(__SSE2__)
  const __m128i d = _mm_set1_epi8((char)delimiter), q = _mm_set1_epi8((char)quote);
  while (at < end) {
    __m128i v = _mm_loadu_si128((const __m128i *)at);
    unsigned used = end - at >= 16 ? 0xFFFF : (1u << (end - at)) - 1;
    unsigned mask = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, d)) & used;
    if (quote && (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, q)) & used) seen |= 1;
    if ((unsigned)_mm_movemask_epi8(v) & used) seen |= 2;
    while (mask) {
      if (found < max) ends[found] = (uint32_t)(at - start) + (uint32_t)__builtin_ctz(mask);
      found++;
      mask &= mask - 1;
    }
    at += 16;
  }
#else
  for (; at < end; at++) {
    if (*at == delimiter) {
      if (found < max) ends[found] = (uint32_t)(at - start);
      found++;
    }
    if (quote && *at == quote) seen |= 1;
    if (*at >= 0x80) seen |= 2;
  }
#endif
  *flags = seen;
  return found;
}

/// Where line `lines` (from 1) of the text ends: after its "\n". NULL if there are fewer lines.
const uint8_t *weir_line_end(const uint8_t *text, size_t count, size_t lines);

/// The correctly rounded double of the decimal text (C locale). Returns 0 when not all `count` bytes were read.
int weir_parse_double(const char *text, size_t count, double *out);

#endif
