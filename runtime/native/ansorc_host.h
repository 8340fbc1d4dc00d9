/* What the compiler generates for one model: tables and weights. Everything here is hidden. */
#ifndef ANSORC_HOST_H
#define ANSORC_HOST_H

#include <stdint.h>

#define ANSORC_HIDDEN __attribute__((visibility("hidden")))

/* Version of the tables below and of the public interface. */
#define ANSORC_ABI_VERSION 1

/* Positions in ansorc_host_numbers; from ANSORC_FIRST_TENSOR on every input, then every output,
 * is {dtype code, rank, dims...}. Dtype codes: 0 f32, 1 f64, 2 f16, 3 bf16, 4 i64, 5 i32, 6 i16,
 * 7 i8, 8 u8, 9 bool. */
enum {
  ANSORC_HOST_VERSION,
  ANSORC_ARENA_BYTES,
  ANSORC_STEP_COUNT,
  ANSORC_INPUT_COUNT,
  ANSORC_OUTPUT_COUNT,
  ANSORC_DEFAULT_THREADS, /* 0: the cores of the affinity mask */
  ANSORC_FIRST_TENSOR
};

/* Computes chunks [lo, hi) of a step; bases = {arena, weights, inputs..., outputs...}. */
typedef void (*ansorc_step_fn)(void *const *bases, int64_t lo, int64_t hi);

/* Chunks of one step are independent of each other; steps run in order. They are numbered column by column: chunk
 * column * rows + row, where those of a row read the same input. */
struct ansorc_step {
  ansorc_step_fn call;
  int64_t chunks;
  int64_t columns; /* divides chunks; 1 where nothing is known */
};

extern ANSORC_HIDDEN const int64_t ansorc_host_numbers[];
/* NUL-separated: the model's name, the inputs' names, the outputs' names. */
extern ANSORC_HIDDEN const char ansorc_host_names[];
extern ANSORC_HIDDEN const struct ansorc_step ansorc_host_steps[];
/* Aligned to 64 bytes. */
extern ANSORC_HIDDEN const unsigned char ansorc_host_weights[];

#endif
