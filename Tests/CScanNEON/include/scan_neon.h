// `weir_scan_string_neon` for a processor without NEON: compiled from the same source with SIMDe's NEON (Debian: libsimde-dev).
#ifndef SCAN_NEON_H
#define SCAN_NEON_H
#include <stdint.h>

/// 1 if the NEON version was compiled; 0 without SIMDe on a processor without NEON.
int scan_neon_is_there(void);
const uint8_t *scan_neon(const uint8_t *at, const uint8_t *end);

#endif
