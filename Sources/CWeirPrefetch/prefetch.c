// A header only; SwiftPM wants a source.
#include "cweir_prefetch.h"
