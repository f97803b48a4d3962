/* Replays what record.py wrote: every case with 1 and 2 threads must give the recorded bytes. NaNs
 * are equal to each other, since their payload is not part of the contract. C11, as an embedder's
 * program would be. Argument: the folder with manifest.txt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyruntime.h"

#define MAX_TENSORS 8
#define MAX_LINE 4096
#define MAX_PATH (2 * MAX_LINE)

static const struct {
  const char* name;
  pyrt_dtype dtype;
  size_t bytes;
} kinds[] = {{"bool", PYRT_BOOL, 1}, {"u8", PYRT_U8, 1},   {"s8", PYRT_S8, 1},
             {"s32", PYRT_S32, 4},   {"s64", PYRT_S64, 8}, {"f16", PYRT_F16, 2},
             {"f32", PYRT_F32, 4},   {"f64", PYRT_F64, 8}};

typedef struct {
  pyrt_tensor in[MAX_TENSORS];
  pyrt_tensor out[MAX_TENSORS]; /* as recorded */
  int in_count;
  int out_count;
} problem;

/* A broken manifest or no memory: nothing that follows would mean anything. */
static void stop(const char* what, const char* which) {
  printf("replay: %s: %s\n", what, which);
  exit(2);
}

/* Checks what snprintf returned for a path. */
static void fits(int length) {
  if (length < 0 || length >= MAX_PATH) stop("a path is too long", "choose a shorter folder");
}

static size_t element_bytes(int32_t dtype) {
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i) {
    if ((int32_t)kinds[i].dtype == dtype) return kinds[i].bytes;
  }
  return 0;
}

/* Reads "dtype:2x3". */
static pyrt_tensor parse_tensor(char* word) {
  pyrt_tensor tensor;
  memset(&tensor, 0, sizeof tensor);
  tensor.size = sizeof tensor;
  char* dims = strchr(word, ':');
  if (dims == NULL) stop("no tensor", word);
  *dims++ = 0;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i) {
    if (strcmp(kinds[i].name, word) == 0) {
      tensor.dtype = (int32_t)kinds[i].dtype;
      tensor.bytes = kinds[i].bytes;
    }
  }
  if (tensor.bytes == 0) stop("unknown dtype", word);
  while (*dims != 0) {
    if (tensor.rank == PYRT_MAX_RANK) stop("too many dims", word);
    const int64_t dim = (int64_t)strtoll(dims, &dims, 10);
    tensor.dims[tensor.rank++] = dim;
    tensor.bytes *= (size_t)dim;
    if (*dims == 'x') ++dims;
  }
  return tensor;
}

static void read_into(pyrt_tensor* tensor, const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) stop("cannot open", path);
  tensor->data = malloc(tensor->bytes + 1);
  if (tensor->data == NULL) stop("no memory for", path);
  if (fread(tensor->data, 1, tensor->bytes + 1, file) != tensor->bytes) stop("wrong size", path);
  fclose(file);
}

static problem read_problem(const char* folder, const char* name, char* words) {
  problem p;
  memset(&p, 0, sizeof p);
  char path[MAX_PATH];
  int output = 0;
  for (char* word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
    if (strcmp(word, "in") == 0) continue;
    if (strcmp(word, "out") == 0) {
      output = 1;
      continue;
    }
    int* count = output ? &p.out_count : &p.in_count;
    if (*count == MAX_TENSORS) stop("too many tensors", name);
    pyrt_tensor* tensor = (output ? p.out : p.in) + *count;
    *tensor = parse_tensor(word);
    fits(
        snprintf(path, sizeof path, "%s/%s.%s%d.bin", folder, name, output ? "out" : "in", *count));
    read_into(tensor, path);
    ++*count;
  }
  if (p.out_count == 0) stop("no outputs", name);
  return p;
}

static int is_nan(const unsigned char* element, int32_t dtype) {
  if (dtype == PYRT_F16) {
    uint16_t bits;
    memcpy(&bits, element, sizeof bits);
    return (bits & 0x7fffu) > 0x7c00u;
  }
  if (dtype == PYRT_F32) {
    uint32_t bits;
    memcpy(&bits, element, sizeof bits);
    return (bits & 0x7fffffffu) > 0x7f800000u;
  }
  if (dtype == PYRT_F64) {
    uint64_t bits;
    memcpy(&bits, element, sizeof bits);
    return (bits & UINT64_C(0x7fffffffffffffff)) > UINT64_C(0x7ff0000000000000);
  }
  return 0;
}

static void print_element(const char* label, const unsigned char* element, size_t bytes) {
  printf("%s 0x", label);
  for (size_t i = bytes; i > 0; --i) printf("%02x", element[i - 1]); /* little-endian */
}

static int same_tensor(const char* name, int threads, int index, const pyrt_tensor* got,
                       const pyrt_tensor* want) {
  const size_t dims_bytes = (size_t)want->rank * sizeof want->dims[0];
  if (got->dtype != want->dtype || got->rank != want->rank ||
      memcmp(got->dims, want->dims, dims_bytes) != 0) {
    printf("%s: output %d with %d threads has another dtype or other dims\n", name, index, threads);
    return 0;
  }
  const size_t size = element_bytes(want->dtype);
  for (size_t at = 0; at < want->bytes; at += size) {
    const unsigned char* a = (const unsigned char*)got->data + at;
    const unsigned char* b = (const unsigned char*)want->data + at;
    if (memcmp(a, b, size) == 0 || (is_nan(a, want->dtype) && is_nan(b, want->dtype))) continue;
    printf("%s: output %d with %d threads, offset %zu:", name, index, threads, at);
    print_element(" got", a, size);
    print_element(", expected", b, size);
    printf("\n");
    return 0;
  }
  return 1;
}

/* Twice, since the second run uses what the first one bound. */
static int run_twice(const char* name, int threads, pyrt_session* session, const problem* p) {
  pyrt_error error = {sizeof error, ""};
  int same = 1;
  for (int run = 0; run < 2 && same; ++run) {
    pyrt_tensor out[MAX_TENSORS];
    for (int i = 0; i < p->out_count; ++i) {
      out[i] = p->out[i];
      out[i].data = malloc(out[i].bytes + 1);
      if (out[i].data == NULL) stop("no memory for", name);
      memset(out[i].data, 0xcd, out[i].bytes + 1);
    }
    if (pyrt_run(session, p->in, p->in_count, out, p->out_count, &error) != PYRT_OK) {
      printf("%s: %s\n", name, error.message);
      same = 0;
    }
    for (int i = 0; i < p->out_count; ++i) {
      same = same && same_tensor(name, threads, i, &out[i], &p->out[i]);
      free(out[i].data);
    }
  }
  return same;
}

static int replay(const char* folder, const char* name, const problem* p) {
  char path[MAX_PATH];
  fits(snprintf(path, sizeof path, "%s/%s.pyrt", folder, name));
  int same = 1;
  for (int threads = 1; threads <= 2; ++threads) {
    pyrt_error error = {sizeof error, ""};
    pyrt_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.threads = threads;
    pyrt_session* session = NULL;
    if (pyrt_load_file(path, &options, &session, &error) != PYRT_OK) {
      printf("%s: %s\n", name, error.message);
      return 0;
    }
    same = run_twice(name, threads, session, p) && same;
    pyrt_free(session);
  }
  return same;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    printf("usage: replay FOLDER\n");
    return 2;
  }
  static char line[MAX_LINE];
  static char path[MAX_PATH];
  fits(snprintf(path, sizeof path, "%s/manifest.txt", argv[1]));
  FILE* manifest = fopen(path, "r");
  if (manifest == NULL) stop("cannot open", path);
  int passed = 0;
  int failed = 0;
  while (fgets(line, sizeof line, manifest) != NULL) {
    char* end = strchr(line, '\n');
    if (end == NULL) stop("a line of the manifest has no end", line);
    *end = 0;
    char* kind = strchr(line, ' '); /* the class is for readers */
    if (kind == NULL) stop("a line of the manifest has no class", line);
    *kind++ = 0;
    char* words = strchr(kind, ' ');
    if (words == NULL) stop("a line of the manifest has no tensors", line);
    problem p = read_problem(argv[1], line, words);
    if (replay(argv[1], line, &p)) {
      ++passed;
    } else {
      ++failed;
    }
    for (int i = 0; i < p.in_count; ++i) free(p.in[i].data);
    for (int i = 0; i < p.out_count; ++i) free(p.out[i].data);
  }
  fclose(manifest);
  printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
