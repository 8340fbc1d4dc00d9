/* What it takes two cores to pass lines of their caches to each other: cc -O2 tests/native/shared_lines.c -lpthread */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "two_cores.h"

enum { BYTES = 256 << 10, LINE = 64, ROUNDS = 400, IGNORED = 20 };
enum { PING, READ_WRITTEN, WRITE_WRITTEN, WRITE_READ, CASES };

static const char *const names[CASES] = {"a signal takes", "reading a line that the other core wrote takes",
                                         "writing a line that the other core wrote takes",
                                         "writing a line that the other core read takes"};
static _Alignas(4096) char lines[BYTES];
static _Alignas(128) _Atomic int turn;
static int kind;
static double total_ns;
static volatile long sink;

static void read_lines(void) {
  long sum = 0;
  for (int i = 0; i < BYTES; i += LINE) sum += *(volatile long *)(lines + i);
  sink = sum;
}

static void write_lines(void) {
  for (int i = 0; i < BYTES; i += LINE) *(volatile long *)(lines + i) = i;
}

static void wait_for(int number) {
  while (atomic_load(&turn) != number) continue;
}

/* The second core: what it does in each round is timed. */
static void *second(void *argument) {
  (void)argument;
  stay_on(1);
  for (int round = 0; round < ROUNDS; round++) {
    wait_for(2 * round + 1);
    double start = kind == PING ? 0 : now_ns();
    if (kind == READ_WRITTEN) read_lines();
    if (kind == WRITE_WRITTEN || kind == WRITE_READ) write_lines();
    if (kind != PING && round >= IGNORED) total_ns += now_ns() - start;
    atomic_store(&turn, 2 * round + 2);
  }
  return NULL;
}

int main(void) {
  memset(lines, 0, sizeof lines);
  stay_on(0);
  for (kind = 0; kind < CASES; kind++) {
    pthread_t thread;
    atomic_store(&turn, 0);
    total_ns = 0;
    pthread_create(&thread, NULL, second, NULL);
    double start = 0;
    for (int round = 0; round < ROUNDS; round++) {
      if (round == IGNORED) start = now_ns();
      if (kind == READ_WRITTEN || kind == WRITE_WRITTEN) write_lines();
      if (kind == WRITE_READ) read_lines();
      atomic_store(&turn, 2 * round + 1);
      wait_for(2 * round + 2);
    }
    double each = kind == PING ? (now_ns() - start) / 2 : total_ns / (BYTES / LINE);
    pthread_join(thread, NULL);
    printf("%s %.1f ns\n", names[kind], each / (ROUNDS - IGNORED));
  }
  return 0;
}
