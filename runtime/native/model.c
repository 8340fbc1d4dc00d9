/* The public interface: instances, introspection, runs. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#pragma GCC visibility push(default)
#include "ansorc.h"
#pragma GCC visibility pop

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "ansorc_host.h"
#include "pool.h"

enum { MESSAGE_BYTES = 200, ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

struct ansorc_model {
  void *arena;
  _Atomic int running;
  char message[MESSAGE_BYTES];
  void *bases[]; /* arena, weights, inputs..., outputs... */
};

static _Thread_local char thread_message[MESSAGE_BYTES];
static _Atomic int chosen_threads; /* 0: not chosen */

static int64_t number(int which) { return ansorc_host_numbers[which]; }

static int fail(ansorc_model *model, int status, const char *message) {
  snprintf(thread_message, MESSAGE_BYTES, "%s", message);
  if (model != NULL && status != ANSORC_IN_USE) snprintf(model->message, MESSAGE_BYTES, "%s", message);
  return status;
}

const char *ansorc_version(void) { return "0.1.0"; }

const char *ansorc_model_name(void) { return ansorc_host_names; }

const char *ansorc_error(const ansorc_model *model) {
  return model != NULL ? model->message : thread_message;
}

int ansorc_num_inputs(void) { return (int)number(ANSORC_INPUT_COUNT); }

int ansorc_num_outputs(void) { return (int)number(ANSORC_OUTPUT_COUNT); }

/* The table's entry of a tensor: {dtype, rank, dims...}; inputs come first. */
static const int64_t *tensor(int index, int first, int count) {
  if (index < 0 || index >= count) return NULL;
  const int64_t *entry = ansorc_host_numbers + ANSORC_FIRST_TENSOR;
  for (int k = 0; k < first + index; k++) entry += 2 + entry[1];
  return entry;
}

static const char *tensor_name(int index, int first, int count) {
  if (index < 0 || index >= count) return NULL;
  const char *name = ansorc_host_names;
  for (int k = 0; k <= first + index; k++) name += strlen(name) + 1;
  return name;
}

#define TENSOR_FUNCTIONS(side, first, count)                                                     \
  const char *ansorc_##side##_name(int index) { return tensor_name(index, first, count); }       \
  int ansorc_##side##_dtype(int index) {                                                         \
    const int64_t *entry = tensor(index, first, count);                                          \
    return entry != NULL ? (int)entry[0] : -1;                                                   \
  }                                                                                              \
  int ansorc_##side##_rank(int index) {                                                          \
    const int64_t *entry = tensor(index, first, count);                                          \
    return entry != NULL ? (int)entry[1] : -1;                                                   \
  }                                                                                              \
  const int64_t *ansorc_##side##_shape(int index) {                                              \
    const int64_t *entry = tensor(index, first, count);                                          \
    return entry != NULL ? entry + 2 : NULL;                                                     \
  }

TENSOR_FUNCTIONS(input, 0, ansorc_num_inputs())
TENSOR_FUNCTIONS(output, ansorc_num_inputs(), ansorc_num_outputs())

size_t ansorc_workspace_size(void) {
  int64_t pointers = 2 + number(ANSORC_INPUT_COUNT) + number(ANSORC_OUTPUT_COUNT);
  return (size_t)number(ANSORC_ARENA_BYTES) + sizeof(ansorc_model) + (size_t)pointers * sizeof(void *);
}

static int default_threads(void) {
  const char *text = getenv("ANSORC_NUM_THREADS");
  if (text != NULL && *text != '\0') {
    char *end;
    long value = strtol(text, &end, 10);
    if (*end == '\0' && value >= 1 && value <= ANSORC_MAX_THREADS) return (int)value;
  }
  int64_t built_in = number(ANSORC_DEFAULT_THREADS);
  if (built_in > 0) return (int)built_in;
  static _Atomic int cores; /* asking the system takes longer than a small model runs */
  int known = atomic_load(&cores);
  if (known == 0) atomic_store(&cores, known = ansorc_pool_cores());
  return known;
}

int ansorc_get_threads(void) {
  int chosen = atomic_load(&chosen_threads);
  return chosen > 0 ? chosen : default_threads();
}

int ansorc_set_threads(int threads) {
  if (threads < 0 || threads > ANSORC_MAX_THREADS)
    return fail(NULL, ANSORC_BAD_THREADS, "threads must be 0 (default) to 1024");
  atomic_store(&chosen_threads, threads);
  return ANSORC_OK;
}

int ansorc_create(ansorc_model **model) {
  if (model == NULL) return fail(NULL, ANSORC_NULL_POINTER, "ansorc_create: model is NULL");
  *model = NULL;
  size_t pointers = (size_t)(2 + number(ANSORC_INPUT_COUNT) + number(ANSORC_OUTPUT_COUNT));
  ansorc_model *made = calloc(1, sizeof(ansorc_model) + pointers * sizeof(void *));
  size_t bytes = (size_t)number(ANSORC_ARENA_BYTES);
  size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
  if (bytes == 0) bytes = ALIGNMENT;
  void *arena = NULL;
  if (made == NULL || posix_memalign(&arena, alignment, bytes) != 0) {
    free(made);
    return fail(NULL, ANSORC_OUT_OF_MEMORY, "out of memory for the workspace");
  }
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (alignment == HUGE_PAGE) madvise(arena, bytes, MADV_HUGEPAGE);
#endif
  made->arena = arena;
  made->bases[0] = arena;
  made->bases[1] = (void *)(uintptr_t)ansorc_host_weights;
  *model = made;
  return ANSORC_OK;
}

void ansorc_destroy(ansorc_model *model) {
  if (model == NULL) return;
  free(model->arena);
  free(model);
}

static int check_pointers(ansorc_model *model, const void *const *inputs, void *const *outputs) {
  char text[MESSAGE_BYTES];
  for (int k = 0; k < ansorc_num_inputs(); k++)
    if (inputs == NULL || inputs[k] == NULL) {
      snprintf(text, sizeof text, "input %d (%s) is NULL", k, ansorc_input_name(k));
      return fail(model, ANSORC_NULL_POINTER, text);
    }
  for (int k = 0; k < ansorc_num_outputs(); k++)
    if (outputs == NULL || outputs[k] == NULL) {
      snprintf(text, sizeof text, "output %d (%s) is NULL", k, ansorc_output_name(k));
      return fail(model, ANSORC_NULL_POINTER, text);
    }
  return ANSORC_OK;
}

int ansorc_run(ansorc_model *model, const void *const *inputs, void *const *outputs) {
  if (model == NULL) return fail(NULL, ANSORC_NULL_POINTER, "ansorc_run: model is NULL");
  if (ansorc_pool_inside()) return fail(NULL, ANSORC_NESTED, "ansorc_run inside of a run");
  int idle = 0;
  if (!atomic_compare_exchange_strong(&model->running, &idle, 1))
    return fail(model, ANSORC_IN_USE, "the instance is in use: create one for each thread");
  int status = check_pointers(model, inputs, outputs);
  if (status == ANSORC_OK) {
    void **base = model->bases + 2;
    for (int k = 0; k < ansorc_num_inputs(); k++) *base++ = (void *)(uintptr_t)inputs[k];
    for (int k = 0; k < ansorc_num_outputs(); k++) *base++ = outputs[k];
    ansorc_pool_run(ansorc_host_steps, number(ANSORC_STEP_COUNT), model->bases, ansorc_get_threads());
  }
  atomic_store(&model->running, 0);
  return status;
}
