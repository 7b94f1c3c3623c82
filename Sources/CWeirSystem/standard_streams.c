#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// Descriptors 0 to 2 that are closed are taken before anything else can get these numbers: else a file of the lake, or the runtime's
// own event descriptor, becomes 1 and receives our output. Reading from 0 and writing to 1 then fail; messages to 2 vanish.
//
// A constructor, since the Swift runtime opens descriptors before `main`.
__attribute__((constructor)) static void weir_take_standard_descriptors(void) {
  static const int flags[3] = {O_WRONLY, O_RDONLY, O_WRONLY};
  for (int descriptor = 0; descriptor < 3; descriptor++) {
    // The lowest free number is this one, since those below are open.
    if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) (void)!open("/dev/null", flags[descriptor]);
  }
}
