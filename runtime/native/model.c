/* The public functions: instances of the model, running them, and what the model looks like. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#pragma GCC visibility push(default)
#include "ansorc.h"
#pragma GCC visibility pop
#include "ansorc_host.h"
#include "pool.h"

#define ANSORC_API __attribute__((visibility("default")))
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

enum { MESSAGE_BYTES = 256, HUGE_PAGE = 2 << 20 };

typedef int (*run_fn)(ansorc_model *, const void *const *, void *const *);

struct ansorc_model {
  /* Of the library that made the instance: a program may be linked with several models. */
  run_fn run;
  void (*destroy)(ansorc_model *);
  /* 0: free; otherwise 1 + the fork epoch of the run in progress. */
  _Atomic unsigned busy;
  void *arena;
  void **bases;
  char message[MESSAGE_BYTES];
};

/* The last message of this thread and the instance it is about. */
static _Thread_local char thread_message[MESSAGE_BYTES];
static _Thread_local const ansorc_model *thread_message_model;
static _Atomic int chosen_threads; /* by ansorc_set_threads; 0: not chosen */

__attribute__((format(printf, 3, 4))) static int fail(const ansorc_model *model, int code,
                                                      const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(thread_message, sizeof thread_message, format, arguments);
  va_end(arguments);
  thread_message_model = model;
  return code;
}

static int64_t number(int position) { return ansorc_host_numbers[position]; }
static int inputs(void) { return (int)number(ANSORC_INPUT_COUNT); }
static int outputs(void) { return (int)number(ANSORC_OUTPUT_COUNT); }

/* {dtype, rank, dims...} of a tensor; outputs come after inputs. */
static const int64_t *tensor(int index) {
  const int64_t *at = ansorc_host_numbers + ANSORC_FIRST_TENSOR;
  while (index-- > 0) at += 2 + at[1];
  return at;
}

static const char *name(int index) {
  const char *at = ansorc_host_names;
  while (index-- > 0) at += strlen(at) + 1;
  return at;
}

ANSORC_API const char *ansorc_version(void) { return TEXT(ANSORC_ABI_VERSION); }
ANSORC_API const char *ansorc_model_name(void) { return ansorc_host_names; }
ANSORC_API int ansorc_num_inputs(void) { return inputs(); }
ANSORC_API int ansorc_num_outputs(void) { return outputs(); }
ANSORC_API size_t ansorc_workspace_size(void) { return (size_t)number(ANSORC_ARENA_BYTES); }

static int in_range(int i, int count, const char *what) {
  if (i >= 0 && i < count) return 1;
  fail(NULL, ANSORC_NULL_POINTER, "%s %d: the model has %d", what, i, count);
  return 0;
}

ANSORC_API const char *ansorc_input_name(int i) {
  return in_range(i, inputs(), "input") ? name(1 + i) : NULL;
}
ANSORC_API int ansorc_input_dtype(int i) {
  return in_range(i, inputs(), "input") ? (int)tensor(i)[0] : -1;
}
ANSORC_API int ansorc_input_rank(int i) {
  return in_range(i, inputs(), "input") ? (int)tensor(i)[1] : -1;
}
ANSORC_API const int64_t *ansorc_input_shape(int i) {
  return in_range(i, inputs(), "input") ? tensor(i) + 2 : NULL;
}
ANSORC_API const char *ansorc_output_name(int i) {
  return in_range(i, outputs(), "output") ? name(1 + inputs() + i) : NULL;
}
ANSORC_API int ansorc_output_dtype(int i) {
  return in_range(i, outputs(), "output") ? (int)tensor(inputs() + i)[0] : -1;
}
ANSORC_API int ansorc_output_rank(int i) {
  return in_range(i, outputs(), "output") ? (int)tensor(inputs() + i)[1] : -1;
}
ANSORC_API const int64_t *ansorc_output_shape(int i) {
  return in_range(i, outputs(), "output") ? tensor(inputs() + i) + 2 : NULL;
}

ANSORC_API int ansorc_set_threads(int n) {
  if (n < 0 || n > ANSORC_MAX_THREADS)
    return fail(NULL, ANSORC_BAD_THREADS, "set_threads: %d is not between 0 and %d", n,
                ANSORC_MAX_THREADS);
  chosen_threads = n;
  return ANSORC_OK;
}

/* What ANSORC_NUM_THREADS or the compiler says; read once, run must not touch the environment. */
static int threads_by_default(void) {
  static _Atomic int known;
  int threads = known;
  if (threads > 0) return threads;
  const char *text = getenv("ANSORC_NUM_THREADS");
  char *end = NULL;
  long value = text == NULL ? 0 : strtol(text, &end, 10);
  if (text == NULL || end == text || *end != 0 || value < 1) value = (long)number(ANSORC_DEFAULT_THREADS);
  if (value < 1) value = ansorc_pool_cores();
  threads = value > ANSORC_MAX_THREADS ? ANSORC_MAX_THREADS : (int)value;
  known = threads;
  return threads;
}

ANSORC_API int ansorc_get_threads(void) {
  int threads = chosen_threads;
  return threads > 0 ? threads : threads_by_default();
}

ANSORC_API const char *ansorc_error(const ansorc_model *model) {
  /* A thread that was refused a busy instance may not write to it: its message is its own. */
  if (model == NULL || thread_message_model == model) return thread_message;
  return model->message;
}

static int run_instance(ansorc_model *model, const void *const *in, void *const *out) {
  /* A fork during another thread's run leaves the copy of the instance marked: not in use here. */
  unsigned mine = 1 + ansorc_pool_fork_epoch(), found = 0;
  if (ansorc_pool_inside())
    return fail(model, ANSORC_NESTED, "run: called from inside a run of the same thread");
  while (!__atomic_compare_exchange_n((unsigned *)&model->busy, &found, mine, 0, __ATOMIC_ACQUIRE,
                                      __ATOMIC_RELAXED))
    if (found == mine)
      return fail(model, ANSORC_IN_USE,
                  "run: the instance is in use by another thread; make one a thread");
  int code = ANSORC_OK;
  int input_count = inputs(), output_count = outputs();
  for (int i = 0; code == ANSORC_OK && i < input_count; i++) {
    if (in[i] == NULL)
      code = fail(model, ANSORC_NULL_POINTER, "run: input %d (%s) is NULL", i, name(1 + i));
    model->bases[2 + i] = (void *)(uintptr_t)in[i];
  }
  for (int i = 0; code == ANSORC_OK && i < output_count; i++) {
    if (out[i] == NULL)
      code = fail(model, ANSORC_NULL_POINTER, "run: output %d (%s) is NULL", i,
                  name(1 + input_count + i));
    model->bases[2 + input_count + i] = out[i];
  }
  if (code == ANSORC_OK)
    ansorc_pool_run(ansorc_host_steps, number(ANSORC_STEP_COUNT), model->bases,
                    ansorc_get_threads());
  else
    memcpy(model->message, thread_message, MESSAGE_BYTES);
  __atomic_store_n((unsigned *)&model->busy, 0, __ATOMIC_RELEASE);
  return code;
}

static void *allocate_arena(size_t bytes) {
  void *arena = NULL;
  size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
  if (posix_memalign(&arena, alignment, bytes > 0 ? bytes : 64) != 0) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes >= HUGE_PAGE) madvise(arena, bytes - bytes % HUGE_PAGE, MADV_HUGEPAGE);
#endif
  return arena;
}

static void destroy_instance(ansorc_model *model) {
  if (model->busy == 1 + ansorc_pool_fork_epoch()) {
    fail(model, ANSORC_IN_USE, "destroy: the instance is in use; nothing was freed");
    return;
  }
  if (thread_message_model == model) thread_message_model = NULL;
  free(model->arena);
  free(model->bases);
  free(model);
}

ANSORC_API int ansorc_create(ansorc_model **out) {
  if (out == NULL)
    return fail(NULL, ANSORC_NULL_POINTER, "create: the place for the instance is NULL");
  *out = NULL;
  if (number(ANSORC_HOST_VERSION) != ANSORC_ABI_VERSION)
    return fail(NULL, ANSORC_WRONG_TABLES, "create: tables of version %d, runtime of version %d",
                (int)number(ANSORC_HOST_VERSION), ANSORC_ABI_VERSION);
  size_t bytes = (size_t)number(ANSORC_ARENA_BYTES);
  ansorc_model *model = calloc(1, sizeof *model);
  if (model != NULL) {
    model->run = run_instance;
    model->destroy = destroy_instance;
    model->bases = calloc((size_t)(2 + inputs() + outputs()), sizeof *model->bases);
    model->arena = allocate_arena(bytes);
  }
  if (model == NULL || model->bases == NULL || model->arena == NULL) {
    if (model != NULL) {
      free(model->bases);
      free(model->arena);
    }
    free(model);
    return fail(NULL, ANSORC_OUT_OF_MEMORY, "create: no memory for a workspace of %zu bytes",
                bytes);
  }
  model->bases[0] = model->arena;
  model->bases[1] = (void *)(uintptr_t)ansorc_host_weights;
  *out = model;
  return ANSORC_OK;
}

ANSORC_API void ansorc_destroy(ansorc_model *model) {
  if (model != NULL) model->destroy(model);
}

ANSORC_API int ansorc_run(ansorc_model *model, const void *const *in, void *const *out) {
  if (model == NULL) return fail(NULL, ANSORC_NULL_POINTER, "run: the instance is NULL");
  if (in == NULL && inputs() > 0)
    return fail(model, ANSORC_NULL_POINTER, "run: the list of inputs is NULL");
  if (out == NULL) return fail(model, ANSORC_NULL_POINTER, "run: the list of outputs is NULL");
  return model->run(model, in, out);
}
