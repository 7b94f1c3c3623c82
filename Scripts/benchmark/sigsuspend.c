/* Preloaded under valgrind: hands sigsuspend a mask that may be written to.
 * libdispatch passes one in read-only memory, and valgrind up to 3.19 (at least) writes to it and crashes. */
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

int sigsuspend(const sigset_t *mask) {
  sigset_t copy = *mask;
  return (int)syscall(SYS_rt_sigsuspend, &copy, 8);
}
