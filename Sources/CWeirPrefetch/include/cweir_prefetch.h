// Memory hints, which Swift cannot give.
#ifndef CWEIR_PREFETCH_H
#define CWEIR_PREFETCH_H

/// Asks for the cache line at `place`, to be written; a wrong address does no harm.
static inline void weir_prefetch(const void *place) { __builtin_prefetch(place, 1, 3); }

#endif
