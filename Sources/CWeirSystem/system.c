#define _GNU_SOURCE
#include "cweir_system.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

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

void weir_release(void *bytes) { free(bytes); }

int weir_o_direct(void) { return O_DIRECT; }

int weir_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

char **weir_environment(void) { return environ; }
