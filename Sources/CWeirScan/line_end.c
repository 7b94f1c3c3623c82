#include "cweir_scan.h"

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
