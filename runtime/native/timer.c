/* What the runner of kernels calls: steps on the pool, timed without Python in between. */
#define _GNU_SOURCE
#include <time.h>

#include "pool.h"

#define ANSORC_API __attribute__((visibility("default")))

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Run `calls` times, on each of `sets` rows of `width` bases in turn, from row `first` on; returns nanoseconds for all
 * calls together. */
ANSORC_API int64_t ansorc_timer_run(const struct ansorc_step *steps, int64_t count,
                                    void *const *bases, int64_t width, int64_t sets, int64_t first,
                                    int threads, int64_t calls) {
  int64_t start = now_ns();
  for (int64_t i = 0; i < calls; i++)
    ansorc_pool_run(steps, count, bases + (first + i) % sets * width, threads);
  return now_ns() - start;
}
