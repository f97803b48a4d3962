/* Uses the C interface as an embedder would, in C11. Arguments: a model that computes y = x + 1 for
 * x [B, 3] f32, and one with a host step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyruntime.h"

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  ++failures;
  printf("FAILED: %s\n", what);
}

static pyrt_tensor tensor_f32(float* data, size_t bytes, int64_t rows, int64_t columns) {
  pyrt_tensor tensor;
  memset(&tensor, 0, sizeof tensor);
  tensor.size = sizeof tensor;
  tensor.data = data;
  tensor.bytes = bytes;
  tensor.dtype = PYRT_F32;
  tensor.rank = 2;
  tensor.dims[0] = rows;
  tensor.dims[1] = columns;
  return tensor;
}

static void expect_error(int32_t code, int32_t wanted, const pyrt_error* error, const char* part) {
  if (code != wanted || strstr(error->message, part) == NULL) {
    ++failures;
    printf("FAILED: code %d, wanted %d with '%s', got '%s'\n", code, wanted, part, error->message);
  }
}

static void test_run(pyrt_session* session) {
  pyrt_error error = {sizeof error, ""};
  float x[6] = {0, 1, 2, 3, 4, 5};
  float y[6] = {0};
  pyrt_tensor input = tensor_f32(x, sizeof x, 2, 3);
  pyrt_tensor output = tensor_f32(y, sizeof y, 0, 0);
  expect(pyrt_bind(session, &input, 1, &output, 1, &error) == PYRT_OK, "bind");
  expect(output.rank == 2 && output.dims[0] == 2 && output.dims[1] == 3 && output.bytes == sizeof y,
         "bind writes the output's dims and bytes");
  for (int i = 0; i < 3; ++i)
    expect(pyrt_run(session, &input, 1, &output, 1, &error) == PYRT_OK, "run");
  for (int i = 0; i < 6; ++i) expect(y[i] == x[i] + 1, "y = x + 1");

  input.dims[0] = 0; /* an empty batch */
  input.bytes = 0;
  input.data = NULL;
  expect(pyrt_run(session, &input, 1, &output, 1, &error) == PYRT_OK && output.dims[0] == 0,
         "empty batch");
}

static void test_errors(pyrt_session* session) {
  pyrt_error error = {sizeof error, ""};
  float x[6] = {0};
  float y[6] = {0};
  pyrt_tensor input = tensor_f32(x, sizeof x, 2, 3);
  pyrt_tensor output = tensor_f32(y, 4, 0, 0);
  expect_error(pyrt_run(session, &input, 1, &output, 1, &error), PYRT_ERROR_RESOURCE, &error,
               "needs 24 bytes");
  expect(output.dims[0] == 2, "a short output still tells its dims");
  output.bytes = sizeof y;
  input.dims[1] = 4;
  expect_error(pyrt_run(session, &input, 1, &output, 1, &error), PYRT_ERROR_SHAPE, &error, "'x'");
  input.dims[1] = -3;
  expect_error(pyrt_run(session, &input, 1, &output, 1, &error), PYRT_ERROR_SHAPE, &error, "'x'");
  input.dims[1] = 3;
  input.rank = 9;
  expect_error(pyrt_run(session, &input, 1, &output, 1, &error), PYRT_ERROR_ARGUMENT, &error,
               "rank 9");
  input.rank = 2;
  input.dtype = PYRT_S8;
  expect_error(pyrt_run(session, &input, 1, &output, 1, &error), PYRT_ERROR_DTYPE, &error,
               "must be f32");
  input.dtype = PYRT_F32;
  input.bytes = 20;
  expect_error(pyrt_run(session, &input, 1, &output, 1, &error), PYRT_ERROR_ARGUMENT, &error,
               "20 bytes");
  input.bytes = sizeof x;
  input.size = 8;
  expect_error(pyrt_run(session, &input, 1, &output, 1, &error), PYRT_ERROR_ARGUMENT, &error,
               "size");
  input.size = sizeof input;
  expect_error(pyrt_run(session, &input, 2, &output, 1, &error), PYRT_ERROR_ARGUMENT, &error,
               "2 inputs");
  expect_error(pyrt_run(session, &input, 1, &output, 0, &error), PYRT_ERROR_ARGUMENT, &error,
               "0 outputs");
  expect_error(pyrt_input(session, 7, NULL, NULL, &error), PYRT_ERROR_ARGUMENT, &error, "index 7");
  expect(pyrt_run(session, &input, 1, &output, 1, NULL) == PYRT_OK, "the error struct is optional");
}

static void test_load(const char* path, const char* host_path) {
  pyrt_error error = {sizeof error, ""};
  pyrt_session* session = NULL;
  expect_error(pyrt_load_file("/nonexistent.pyrt", NULL, &session, &error), PYRT_ERROR_ARGUMENT,
               &error, "open");
  expect_error(pyrt_load_file(NULL, NULL, &session, &error), PYRT_ERROR_ARGUMENT, &error, "null");
  expect_error(pyrt_load_file(host_path, NULL, &session, &error), PYRT_ERROR_UNSUPPORTED, &error,
               "Einsum");
  expect_error(pyrt_load_memory("nonsense nonsense", 17, NULL, &session, &error), PYRT_ERROR_FORMAT,
               &error, "header");
  pyrt_options options;
  memset(&options, 0, sizeof options);
  expect_error(pyrt_load_file(path, &options, &session, &error), PYRT_ERROR_ARGUMENT, &error,
               "size");
  options.size = sizeof options;
  options.isa = "z80";
  expect_error(pyrt_load_file(path, &options, &session, &error), PYRT_ERROR_UNSUPPORTED, &error,
               "scalar");
  expect(session == NULL, "a failed load leaves the handle alone");
  options.isa = "scalar";
  options.threads = 1;
  options.no_map = 1;
  expect(pyrt_load_file(path, &options, &session, &error) == PYRT_OK, "load with options");
  test_run(session);
  pyrt_free(session);
}

static void test_memory(const char* path) {
  pyrt_error error = {sizeof error, ""};
  FILE* file = fopen(path, "rb");
  if (file == NULL) exit(2);
  char* bytes = malloc(1 << 20);
  if (bytes == NULL) exit(2);
  const size_t count = fread(bytes, 1, 1 << 20, file);
  fclose(file);
  pyrt_session* session = NULL;
  expect(pyrt_load_memory(bytes, count, NULL, &session, &error) == PYRT_OK, error.message);
  free(bytes);
  const char* name = NULL;
  pyrt_tensor tensor = tensor_f32(NULL, 0, 0, 0);
  expect(pyrt_input_count(session) == 1 && pyrt_output_count(session) == 1, "counts");
  expect(pyrt_input(session, 0, &name, &tensor, &error) == PYRT_OK && strcmp(name, "x") == 0,
         "name of the input");
  expect(tensor.dims[0] == -1 && tensor.dims[1] == 3 && tensor.dtype == PYRT_F32, "declared dims");
  expect(pyrt_output(session, 0, &name, NULL, &error) == PYRT_OK && strcmp(name, "y") == 0,
         "name of the output");
  test_run(session);
  test_errors(session);
  pyrt_free(session);
  pyrt_free(NULL);
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  test_load(argv[1], argv[2]);
  test_memory(argv[1]);
  expect(strlen(pyrt_version()) >= 5, "version");
  printf("%s\n", failures == 0 ? "all C tests passed" : "C tests failed");
  return failures == 0 ? 0 : 1;
}
