/* The library's thread pool: one, started by the first run that can use it. */
#ifndef ANSORC_POOL_H
#define ANSORC_POOL_H

#include "ansorc_host.h"

enum { ANSORC_MAX_THREADS = 1024 };

/* Run `count` steps in order on up to `threads` threads, the caller's among them.
 * Runs serially where the pool is busy with another run or no thread can be started. */
ANSORC_HIDDEN void ansorc_pool_run(const struct ansorc_step *steps, int64_t count,
                                   void *const *bases, int threads);

/* Cores in this thread's affinity mask, at least 1. */
ANSORC_HIDDEN int ansorc_pool_cores(void);

/* Number of forks between the loading process and this one. */
ANSORC_HIDDEN unsigned ansorc_pool_fork_epoch(void);

/* Is this thread inside ansorc_pool_run? */
ANSORC_HIDDEN int ansorc_pool_inside(void);

#endif
