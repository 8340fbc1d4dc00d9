/* The functions which every library made by ansorc exports. Copied into lib.h. */
#ifndef ANSORC_INTERFACE_H
#define ANSORC_INTERFACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An instance of the model with a workspace of its own. Use one a thread; any number may exist. */
typedef struct ansorc_model ansorc_model;

enum ansorc_status {
  ANSORC_OK = 0,
  ANSORC_OUT_OF_MEMORY = 1,
  ANSORC_NULL_POINTER = 2,
  ANSORC_IN_USE = 3, /* the instance is running in another thread */
  ANSORC_NESTED = 4, /* called from inside a run */
  ANSORC_BAD_THREADS = 5,
  ANSORC_WRONG_TABLES = 6 /* the library was linked with a runtime that is not its own */
};

enum ansorc_dtype {
  ANSORC_F32 = 0, ANSORC_F64 = 1, ANSORC_F16 = 2, ANSORC_BF16 = 3, ANSORC_I64 = 4,
  ANSORC_I32 = 5, ANSORC_I16 = 6, ANSORC_I8 = 7, ANSORC_U8 = 8, ANSORC_BOOL = 9
};

/* Version of these functions. */
const char *ansorc_version(void);
const char *ansorc_model_name(void);
int ansorc_create(ansorc_model **model);
void ansorc_destroy(ansorc_model *model);
/* inputs and outputs: one pointer to a C-contiguous array each, in the model's order.
 * Any alignment is right; outputs that start at a multiple of 64 bytes are written faster.
 * Returns ANSORC_OK or another status; ansorc_error then says what was wrong. */
int ansorc_run(ansorc_model *model, const void *const *inputs, void *const *outputs);
/* The message of the last failure of an instance; of this thread if model is NULL. */
const char *ansorc_error(const ansorc_model *model);
int ansorc_num_inputs(void);
int ansorc_num_outputs(void);
/* For an index outside the range: NULL, or -1. */
const char *ansorc_input_name(int index);
const char *ansorc_output_name(int index);
int ansorc_input_dtype(int index);
int ansorc_output_dtype(int index);
int ansorc_input_rank(int index);
int ansorc_output_rank(int index);
const int64_t *ansorc_input_shape(int index);
const int64_t *ansorc_output_shape(int index);
/* Threads of later runs: at least 1; 0 for the default. */
int ansorc_set_threads(int threads);
int ansorc_get_threads(void);
/* Bytes that each instance allocates when it is created; a run allocates nothing. */
size_t ansorc_workspace_size(void);

#ifdef __cplusplus
}
#endif
#endif
