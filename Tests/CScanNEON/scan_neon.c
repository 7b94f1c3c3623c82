#if !defined(__ARM_NEON) && __has_include(<simde/arm/neon.h>)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/arm/neon.h>
#define CWEIR_SCAN_NEON 1
#endif
#include "cweir_scan.h"
#include "scan_neon.h"

#if defined(CWEIR_SCAN_NEON)
int scan_neon_is_there(void) { return 1; }
const uint8_t *scan_neon(const uint8_t *at, const uint8_t *end) { return weir_scan_string_neon(at, end); }
#else
int scan_neon_is_there(void) { return 0; }
const uint8_t *scan_neon(const uint8_t *at, const uint8_t *end) { return at; }
#endif
