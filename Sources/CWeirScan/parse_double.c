#include "cweir_scan.h"

#include <stdlib.h>

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
