/* Time of an empty parallel step: cc -O2 -Iruntime/native tests/native/pool_overhead.c runtime/native/pool.c -lpthread */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "pool.h"

enum { STEPS = 1000, REPEATS = 201 };

static void nothing(void *const *bases, int64_t lo, int64_t hi) { (void)bases, (void)lo, (void)hi; }

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int count, char **arguments) {
  int threads = count > 1 ? atoi(arguments[1]) : ansorc_pool_cores();
  static struct ansorc_step steps[STEPS];
  static double times[REPEATS];
  for (int k = 0; k < STEPS; k++) steps[k] = (struct ansorc_step){nothing, threads * 4, 1};
  for (int k = 0; k < REPEATS; k++) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    ansorc_pool_run(steps, STEPS, NULL, threads);
    clock_gettime(CLOCK_MONOTONIC, &b);
    times[k] = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / STEPS;
  }
  qsort(times, REPEATS, sizeof *times, ascending);
  printf("%d threads: an empty parallel step takes %.0f ns (median of %d runs of %d steps; best %.0f ns)\n", threads,
         times[REPEATS / 2], REPEATS, STEPS, times[0]);
  return 0;
}
