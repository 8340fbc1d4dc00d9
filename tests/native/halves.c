/* What two cores take a line when they pass tensors through an arena: cc -O2 tests/native/halves.c -lpthread
 *
 * Each step reads a tensor and writes the next one. Both cores do half of it, always the same half: no line is shared on
 * purpose, except where tensors of several sizes overlap. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "two_cores.h"

enum { LINE = 64, PLACE = 1 << 20, TENSORS = 8, ROUNDS = 300, IGNORED = 20, ROW_LINES = 12 };
enum { ROWS, COLUMNS, FROM_A_START, AROUND_A_MIDDLE, CASES };

static const char *const names[CASES] = {"halves of rows, one size", "halves of columns, one size",
                                         "halves of rows, several sizes from one start",
                                         "halves of rows, several sizes around one middle"};
/* Lines of the tensors; each is a multiple of two rows. */
static const int sizes[TENSORS] = {15360, 6144, 12288, 3072, 6144, 1536, 3072, 12288};

static _Alignas(4096) char arena[2][PLACE];
static _Alignas(128) _Atomic int arrived;
static _Alignas(128) _Atomic int phase;
static int kind;

static void barrier(void) {
  int before = atomic_load(&phase);
  if (atomic_fetch_add(&arrived, 1) == 1) {
    atomic_store(&arrived, 0);
    atomic_store(&phase, before + 1);
  } else {
    while (atomic_load(&phase) == before) continue;
  }
}

static int lines_of(int tensor) { return kind <= COLUMNS ? sizes[1] : sizes[tensor % TENSORS]; }

/* Read or write a core's half of a tensor; tensors lie in two places in turn. */
static long pass(int core, int tensor, int writes, long value) {
  int lines = lines_of(tensor), first = kind == AROUND_A_MIDDLE ? (PLACE / LINE - lines) / 2 : 0;
  int rows = kind == COLUMNS ? lines / ROW_LINES : 1, each = lines / 2 / rows;
  char *half = arena[tensor % 2] + (first + core * each) * LINE;
  for (int row = 0; row < rows; row++, half += ROW_LINES * LINE)
    for (int k = 0; k < each; k++) {
      volatile long *number = (volatile long *)(half + k * LINE);
      if (writes)
        *number = value;
      else
        value += *number;
    }
  return value;
}

static double run(int core) {
  double start = 0;
  for (int round = 0; round < ROUNDS; round++) {
    if (round == IGNORED) start = now_ns();
    for (int tensor = 0; tensor < TENSORS; tensor++) {
      long sum = pass(core, tensor, 0, 0);
      pass(core, tensor + 1, 1, sum);
      barrier();
    }
  }
  return (now_ns() - start) / (ROUNDS - IGNORED);
}

static void *second(void *argument) {
  (void)argument;
  stay_on(1);
  run(1);
  return NULL;
}

int main(void) {
  memset(arena, 0, sizeof arena);
  stay_on(0);
  for (kind = 0; kind < CASES; kind++) {
    pthread_t thread;
    pthread_create(&thread, NULL, second, NULL);
    double ns = run(0), lines = 0;
    pthread_join(thread, NULL);
    for (int tensor = 0; tensor < TENSORS; tensor++) lines += lines_of(tensor);
    printf("%s: %.1f ns a line\n", names[kind], ns / (lines / 2));
  }
  return 0;
}
