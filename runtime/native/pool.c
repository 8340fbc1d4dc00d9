/* One parallel region a run: workers enter it once, walk over all steps together with the caller,
 * and meet at a barrier where a step depends on another thread's work. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pool.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "wait.h"

enum {
  /* Longer than it takes to move a thread to another core: who slept in the meantime would be woken back. */
  SPIN_NS = 500 * 1000,
  /* The region word is number << THREAD_BITS | threads; threads 0 tells the workers to end. */
  /* A thread takes its share of the chunks in so many blocks, then looks at the shares of some others. */
  BLOCKS = 3,
  VICTIMS = 8,
  /* Blocks that a kernel keeps between two operations lie on the stack; some C libraries give threads 128 KiB. */
  STACK_BYTES = 8 << 20,
  THREAD_BITS = 11,
  THREAD_MASK = (1 << THREAD_BITS) - 1
};

/* Everything a worker needs of the run in progress; copied by each when it enters the region. */
struct region {
  const struct ansorc_step *steps;
  int64_t count;
  void *const *bases;
  int threads;
  int caller_core; /* -1 where it is not known, or does not matter */
  int64_t spin_ns;
};

/* What is left of a share behind each block: large ones keep a core in its lines, small ones even out. */
static const int left_eighths[BLOCKS] = {2, 1, 0};

/* How many blocks of a thread's share are taken; a line of the cache each. */
struct share {
  _Alignas(128) _Atomic int taken;
};

static struct {
  struct wait_word region_word; /* changes when a region starts */
  struct wait_word phase;       /* changes when a barrier opens */
  _Alignas(128) _Atomic int arrived;
  _Atomic int opener_core; /* who opened the last barrier, if its threads have a core each */
  struct share shares[ANSORC_MAX_THREADS];
  _Alignas(128) _Atomic int busy;
  struct region region;
  int workers;
  int cores;
  pthread_t *ids;
  uint32_t *first_seen; /* region word at the birth of each worker */
  unsigned fork_epoch;
  int pid;
} pool;

static _Thread_local int inside;

static void pool_forget(void) {
  /* The child of a fork has none of the threads. Their bookkeeping is dropped without free:
   * the fork may have happened in the middle of a malloc of another thread. */
  wait_init(&pool.region_word);
  wait_init(&pool.phase);
  atomic_store(&pool.arrived, 0);
  for (int i = 0; i < ANSORC_MAX_THREADS; i++) atomic_store(&pool.shares[i].taken, 0);
  atomic_store(&pool.busy, 0);
  pool.workers = 0;
  pool.ids = NULL;
  pool.first_seen = NULL;
  pool.fork_epoch++;
  pool.pid = (int)getpid();
  inside = 0;
}

__attribute__((constructor)) static void pool_loaded(void) {
  pool_forget();
  pool.fork_epoch = 0;
#if defined(__GLIBC__)
  /* glibc drops the handler when the library is unloaded; elsewhere the pid is compared. */
  pthread_atfork(NULL, NULL, pool_forget);
#endif
}

static void notice_fork(void) {
#if !defined(__GLIBC__)
  if (pool.pid != (int)getpid()) pool_forget();
#endif
}

unsigned ansorc_pool_fork_epoch(void) {
  notice_fork();
  return pool.fork_epoch;
}

int ansorc_pool_inside(void) { return inside; }

int ansorc_pool_cores(void) {
#if defined(__linux__)
  for (int most = 1024; most <= 1 << 20; most *= 8) {
    cpu_set_t *set = CPU_ALLOC(most);
    if (set == NULL) break;
    size_t bytes = CPU_ALLOC_SIZE(most);
    int found = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (found > 0) return found;
  }
#endif
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}

static int current_core(void) {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

/* A thread that slept is often woken on the core of the thread that woke it, and the two take turns there until the
 * system looks again, tens of milliseconds later: move to another core at once. */
static void leave_core(int core) {
#if defined(__linux__)
  if (core < 0 || core != current_core()) return;
  cpu_set_t allowed, others;
  if (core >= CPU_SETSIZE || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  others = allowed;
  CPU_CLR(core, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof allowed, &allowed);
#else
  (void)core;
#endif
}

/* Wait until all threads of the region are here. The last one gives every share back. */
static void barrier(const struct region *region) {
  uint32_t phase = atomic_load_explicit(&pool.phase.value, memory_order_relaxed);
  if (atomic_fetch_add(&pool.arrived, 1) + 1 == region->threads) {
    atomic_store_explicit(&pool.arrived, 0, memory_order_relaxed);
    for (int i = 0; i < region->threads; i++)
      atomic_store_explicit(&pool.shares[i].taken, 0, memory_order_relaxed);
    if (region->caller_core >= 0) atomic_store(&pool.opener_core, current_core());
    wait_publish(&pool.phase, phase + 1);
    return;
  }
  int slept;
  wait_change(&pool.phase, phase, region->spin_ns, &slept);
  if (slept && region->caller_core >= 0) leave_core(atomic_load(&pool.opener_core));
}

/* Call chunks [start, end), which are numbered row by row, column by column: what all chunks of a column read again and
 * again, such as weights, stays in the cache meanwhile. */
static void call_chunks(const struct ansorc_step *step, void *const *bases, int64_t start, int64_t end) {
  int64_t columns = step->columns, rows = step->chunks / columns;
  for (int64_t column = 0; column < columns; column++) {
    int64_t from = (start - column + columns - 1) / columns, to = (end - column + columns - 1) / columns;
    if (from < to) step->call(bases, column * rows + from, column * rows + to);
  }
}

/* Every thread has a share of neighbouring chunks, rows first, the same in steps of equal extents: what it wrote in one
 * step, it finds in its own cache in the next. A line that another core has costs several times as much
 * (tests/native/halves.c). Late or slow threads are evened out by those that are done with theirs, who take the end of a share: there, pairs of threads meet,
 * one from below, one from above, so that what is taken lies beside what the taker has. */
static void run_chunks(const struct ansorc_step *step, const struct region *region, int index) {
  int threads = region->threads, victims = threads < VICTIMS ? threads : VICTIMS;
  for (int k = 0; k < victims; k++) {
    int owner = (index + (index % 2 == 0 ? k : threads - k)) % threads;
    int64_t start = step->chunks * owner / threads, end = step->chunks * (owner + 1) / threads, size = end - start;
    _Atomic int *taken = &pool.shares[owner].taken;
    while (size > 0 && atomic_load_explicit(taken, memory_order_relaxed) < BLOCKS) {
      int block = atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
      if (block >= BLOCKS) break;
      int64_t lo = block == 0 ? 0 : size - size * left_eighths[block - 1] / 8, hi = size - size * left_eighths[block] / 8;
      if (lo == hi) continue;
      if (owner % 2 == 0)
        call_chunks(step, region->bases, start + lo, start + hi);
      else
        call_chunks(step, region->bases, end - hi, end - lo);
    }
  }
}

static void walk(const struct region *region, int index) {
  for (int64_t i = 0; i < region->count; i++) {
    const struct ansorc_step *step = &region->steps[i];
    if (step->chunks > 1) {
      run_chunks(step, region, index);
      barrier(region);
      continue;
    }
    if (index == 0 && step->chunks == 1) step->call(region->bases, 0, 1);
    /* Serial steps in a row are the caller's; the others wait for the next parallel one only. */
    if (i + 1 < region->count && region->steps[i + 1].chunks > 1) barrier(region);
  }
}

static void *worker(void *argument) {
  int index = (int)(intptr_t)argument; /* the caller is thread 0 */
  uint32_t seen = pool.first_seen[index];
  int64_t spin_ns = 0;
  inside = 1; /* a kernel that calls ansorc_run is refused on every thread */
  for (;;) {
    int slept;
    seen = wait_change(&pool.region_word, seen, spin_ns, &slept);
    int threads = (int)(seen & THREAD_MASK);
    if (threads == 0) return NULL;
    /* Who does not take part must not look at the region: the next one may be written already. */
    if (index >= threads) {
      spin_ns = 0;
      continue;
    }
    struct region region = pool.region;
    spin_ns = region.spin_ns;
    if (slept) leave_core(region.caller_core);
    walk(&region, index);
  }
}

/* Start workers until there are `wanted`; returns how many there are. */
static int ensure_workers(int wanted) {
  if (pool.workers >= wanted) return wanted;
  if (pool.ids == NULL) {
    pool.ids = malloc(sizeof(pthread_t) * ANSORC_MAX_THREADS);
    pool.first_seen = malloc(sizeof(uint32_t) * ANSORC_MAX_THREADS);
    if (pool.ids == NULL || pool.first_seen == NULL) {
      free(pool.ids);
      free(pool.first_seen);
      pool.ids = NULL;
      return 0;
    }
  }
  sigset_t all, before; /* signals are for the program's own threads */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  while (pool.workers < wanted) {
    int index = pool.workers + 1;
    pool.first_seen[index] = atomic_load(&pool.region_word.value);
    if (pthread_create(&pool.ids[index], &attributes, worker, (void *)(intptr_t)index) != 0) break;
    pool.workers++;
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return pool.workers;
}

static void start_region(int threads) {
  uint32_t number = atomic_load(&pool.region_word.value) >> THREAD_BITS;
  wait_publish(&pool.region_word, (number + 1) << THREAD_BITS | (uint32_t)threads);
}

static void run_serially(const struct ansorc_step *steps, int64_t count, void *const *bases) {
  for (int64_t i = 0; i < count; i++)
    if (steps[i].chunks > 0) steps[i].call(bases, 0, steps[i].chunks);
}

void ansorc_pool_run(const struct ansorc_step *steps, int64_t count, void *const *bases,
                     int threads) {
  notice_fork();
  inside = 1;
  int64_t most = 1;
  for (int64_t i = 0; i < count; i++)
    if (steps[i].chunks > most) most = steps[i].chunks;
  if (threads > most) threads = (int)most;
  if (threads > ANSORC_MAX_THREADS) threads = ANSORC_MAX_THREADS;
  /* The others leave with the last parallel step: its barrier is where the caller knows that they are done with `steps`,
   * which may be gone once this returns. */
  int64_t shared = count;
  while (shared > 0 && steps[shared - 1].chunks <= 1) shared--;
  int idle = 0;
  if (threads <= 1 || !atomic_compare_exchange_strong(&pool.busy, &idle, 1)) {
    run_serially(steps, count, bases);
    inside = 0;
    return;
  }
  threads = ensure_workers(threads - 1) + 1;
  if (threads > 1) {
    /* More threads than cores: a spinning thread keeps the core from the one it waits for. */
    if (pool.cores == 0) pool.cores = ansorc_pool_cores();
    int fits = threads <= pool.cores;
    pool.region = (struct region){steps, shared, bases, threads, fits ? current_core() : -1,
                                  fits ? SPIN_NS : 0};
    start_region(threads);
    walk(&pool.region, 0);
    run_serially(steps + shared, count - shared, bases);
  } else {
    run_serially(steps, count, bases);
  }
  atomic_store(&pool.busy, 0);
  inside = 0;
}

__attribute__((destructor)) static void pool_unloaded(void) {
  notice_fork();
  /* At exit another thread may still be inside a run: wait a little, then let the process die. */
  int idle = 0;
  for (int tries = 0; !atomic_compare_exchange_strong(&pool.busy, &idle, 1); tries++) {
    if (tries == 1000) return;
    idle = 0;
    struct timespec ms = {0, 1000000};
    nanosleep(&ms, NULL);
  }
  if (pool.workers > 0) {
    start_region(0);
    for (int index = 1; index <= pool.workers; index++) pthread_join(pool.ids[index], NULL);
  }
  free(pool.ids);
  free(pool.first_seen);
  pool.workers = 0;
  pool.ids = NULL;
  pool.first_seen = NULL;
}
