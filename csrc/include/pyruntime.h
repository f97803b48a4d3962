/* The C interface of pyruntime: load a .pyrt file, run it. Valid C11 and C++.
 *
 * Every function returns a status code; with a non-null `error` it also writes a message that says
 * what is wrong, where and what to do. Nothing is printed, nothing is thrown. Structs begin with
 * their size, set by the caller to sizeof(the struct), so that later versions can append fields.
 *
 * A session may be used by any number of threads at once. A run takes memory from a pool; after the
 * first run with the same dims nothing is allocated. Models with steps that have no native kernel
 * are refused at load, naming them.
 */
#ifndef PYRUNTIME_H_
#define PYRUNTIME_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define PYRT_API __attribute__((visibility("default")))
#else
#define PYRT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define PYRT_MAX_RANK 8

typedef enum pyrt_code {
  PYRT_OK = 0,
  PYRT_ERROR_FORMAT = 1,      /* the model file lies or is damaged */
  PYRT_ERROR_UNSUPPORTED = 2, /* valid, but nothing here can run it */
  PYRT_ERROR_SHAPE = 3,       /* dims do not fit */
  PYRT_ERROR_DTYPE = 4,       /* an element type does not fit */
  PYRT_ERROR_RESOURCE = 5,    /* memory or a limit is exhausted */
  PYRT_ERROR_CANCELLED = 6,   /* the caller asked to stop */
  PYRT_ERROR_ARGUMENT = 7     /* an argument, name or input value that cannot be */
} pyrt_code;

typedef enum pyrt_dtype {
  PYRT_BOOL = 0,
  PYRT_U8,
  PYRT_S8,
  PYRT_U16,
  PYRT_S16,
  PYRT_U32,
  PYRT_S32,
  PYRT_U64,
  PYRT_S64,
  PYRT_F16,
  PYRT_BF16,
  PYRT_F32,
  PYRT_F64,
  PYRT_U4, /* one byte each */
  PYRT_S4
} pyrt_dtype;

typedef struct pyrt_session pyrt_session;

typedef struct pyrt_error {
  size_t size;
  char message[1024]; /* empty when the call succeeded */
} pyrt_error;

/* Zero in a field (but `size`) means the default. */
typedef struct pyrt_options {
  size_t size;
  int32_t threads;   /* 0: as many as the affinity mask and the control group allow */
  int32_t no_verify; /* 1: do not compare the checksum */
  int32_t no_map;    /* 1: read the file into memory, so that it may change afterwards */
  const char*
      isa; /* a preset's name such as "avx2"; null: PYRUNTIME_ISA, else all that the CPU has */
  uint64_t max_bytes; /* limit of memory for decoded constants, and for each set of input dims */
} pyrt_options;

typedef struct pyrt_tensor {
  size_t size;
  void* data;    /* elements in row-major order, aligned to their size; inputs are only read */
  size_t bytes;  /* room at `data` */
  int32_t dtype; /* pyrt_dtype */
  int32_t rank;
  int64_t
      dims[PYRT_MAX_RANK]; /* pyrt_input and pyrt_output write -1 where it depends on the inputs */
} pyrt_tensor;

/* "0.1.0", static. */
PYRT_API const char* pyrt_version(void);

/* `options` may be null. On success *session must be freed with pyrt_free. */
PYRT_API int32_t pyrt_load_file(const char* path, const pyrt_options* options,
                                pyrt_session** session, pyrt_error* error);
/* Copies the bytes: they may go away when it returns. */
PYRT_API int32_t pyrt_load_memory(const void* data, size_t bytes, const pyrt_options* options,
                                  pyrt_session** session, pyrt_error* error);
/* Null is allowed. No run may be under way. */
PYRT_API void pyrt_free(pyrt_session* session);

PYRT_API int32_t pyrt_input_count(const pyrt_session* session);
PYRT_API int32_t pyrt_output_count(const pyrt_session* session);
/* Name (alive as long as the session), dtype, rank and declared dims of input or output `index`.
 * `name` may be null. */
PYRT_API int32_t pyrt_input(const pyrt_session* session, int32_t index, const char** name,
                            pyrt_tensor* tensor, pyrt_error* error);
PYRT_API int32_t pyrt_output(const pyrt_session* session, int32_t index, const char** name,
                             pyrt_tensor* tensor, pyrt_error* error);

/* Prepares runs with inputs of these dims (their data is not looked at): chooses kernels, packs
 * weights, plans memory. Writes dtype, rank, dims and the needed bytes of every output; their data
 * is left alone. pyrt_run does this itself when the dims are new. */
PYRT_API int32_t pyrt_bind(pyrt_session* session, const pyrt_tensor* inputs, int32_t input_count,
                           pyrt_tensor* outputs, int32_t output_count, pyrt_error* error);

/* Runs. Inputs and outputs are in the model's order and must not overlap. Each output needs `data`
 * and `bytes`; its dtype, rank and dims are written. PYRT_ERROR_RESOURCE when an output has too
 * little room: then dims are written, nothing was computed. */
PYRT_API int32_t pyrt_run(pyrt_session* session, const pyrt_tensor* inputs, int32_t input_count,
                          pyrt_tensor* outputs, int32_t output_count, pyrt_error* error);

#ifdef __cplusplus
}
#endif

#endif /* PYRUNTIME_H_ */
