// Linux and glibc calls that Swift does not import or must not guess: macros, functions with a variable number of arguments, the allocator.
//
// Linking it also takes the standard descriptors that are closed, before `main`: see standard_streams.c.
#ifndef CWEIR_SYSTEM_H
#define CWEIR_SYSTEM_H
#include <stddef.h>
#include <sys/prctl.h>

/// Names the calling thread, for `top -H` and debuggers.
static inline void weir_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// O_DIRECT of open(2), which is no plain number to Swift.
int weir_o_direct(void);

/// pipe2(2) with O_CLOEXEC, which Swift does not import: the ends for reading and writing, closed in programs that are started.
int weir_pipe(int ends[2]);
/// environ(7), which is a shared variable to Swift.
char **weir_environment(void);

/// glibc's M_ARENA_MAX, which Swift does not import.
void weir_limit_heaps(int count);
/// Blocks of `bytes` and more go back to the system as soon as they are freed, and so does what is free at a heap's end.
void weir_return_memory(int bytes);
/// Gives everything that is free back to the system.
void weir_trim_heaps(void);
/// realloc(): large blocks are moved by their pages, so that they are never in memory twice. Ends the process when there is no memory.
void *weir_resize(void *bytes, size_t count);
void weir_release(void *bytes);

/// Whether a descriptor's file is on one of the kernel's own file systems (procfs, sysfs, ...): 1, 0, or -1 with errno.
int weir_is_kernel_file(int descriptor);

#endif
