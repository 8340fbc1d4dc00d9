/* Waiting for a word to change: spin for a bounded time, then sleep. */
#ifndef ANSORC_WAIT_H
#define ANSORC_WAIT_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* A word that threads wait on. Alone on its cache line: waiters read it all the time. */
struct wait_word {
  _Alignas(128) _Atomic uint32_t value;
  _Atomic int sleepers;
#if !defined(__linux__)
  pthread_mutex_t lock;
  pthread_cond_t changed;
#endif
};

static inline void wait_init(struct wait_word *word) {
  atomic_store(&word->value, 0);
  atomic_store(&word->sleepers, 0);
#if !defined(__linux__)
  pthread_mutex_init(&word->lock, NULL);
  pthread_cond_init(&word->changed, NULL);
#endif
}

static inline void wait_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory"); /* `yield` does nothing on most cores */
#else
  __asm__ volatile("" ::: "memory");
#endif
}

static inline int64_t wait_clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Return the value once it is no longer `seen`; spins for at most `spin_ns` first. Says whether it slept. */
static inline uint32_t wait_change(struct wait_word *word, uint32_t seen, int64_t spin_ns, int *slept) {
  uint32_t value;
  *slept = 0;
  int64_t until = 0;
  for (int round = 0;; round++) {
    value = atomic_load_explicit(&word->value, memory_order_acquire);
    if (value != seen) return value;
    if (spin_ns == 0) break;
    wait_pause();
    if (round % 32 == 31) { /* the clock costs as much as a few pauses */
      int64_t now = wait_clock_ns();
      if (until == 0) until = now + spin_ns;
      if (now >= until) break;
    }
  }
  *slept = 1;
  /* sleepers, then value; the waker writes value, then reads sleepers: one of both sees the other. */
  atomic_fetch_add(&word->sleepers, 1);
#if defined(__linux__)
  while ((value = atomic_load(&word->value)) == seen)
    syscall(SYS_futex, (uint32_t *)&word->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
#else
  pthread_mutex_lock(&word->lock);
  while ((value = atomic_load(&word->value)) == seen)
    pthread_cond_wait(&word->changed, &word->lock);
  pthread_mutex_unlock(&word->lock);
#endif
  atomic_fetch_sub(&word->sleepers, 1);
  return value;
}

/* Publish a new value and wake who sleeps on the old one. */
static inline void wait_publish(struct wait_word *word, uint32_t value) {
  atomic_store(&word->value, value);
  if (atomic_load(&word->sleepers) == 0) return;
#if defined(__linux__)
  syscall(SYS_futex, (uint32_t *)&word->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
  pthread_mutex_lock(&word->lock);
  pthread_cond_broadcast(&word->changed);
  pthread_mutex_unlock(&word->lock);
#endif
}

#endif
