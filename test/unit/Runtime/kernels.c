// Kernels with the ABI of compiled models, for tests of the Runtime. Built to
// an object file that the tests load as a target would hand it over.
// Not declared before C23.
float roundevenf(float);
#include <math.h>
#include <stdint.h>
#include <string.h>

#define KERNEL(name)                                                           \
  void name(void **args, void *scratch, int64_t begin, int64_t end)

// f32: out[i] = a[i] + b[i]
KERNEL(add) {
  const float *a = args[0], *b = args[1];
  float *out = args[2];
  for (int64_t i = begin; i < end; ++i)
    out[i] = a[i] + b[i];
}

// f32: out[i] = 2 * a[i]
KERNEL(twice) {
  const float *a = args[0];
  float *out = args[1];
  for (int64_t i = begin; i < end; ++i)
    out[i] = 2 * a[i];
}

// f32, one work item per row: out[16,8] = a[16,32] * b[32,8]. A row is summed
// up in scratch first.
KERNEL(matmul) {
  const float *a = args[0], *b = args[1];
  float *out = args[2], *row = scratch;
  for (int64_t i = begin; i < end; ++i) {
    memset(row, 0, 8 * sizeof(float));
    for (int k = 0; k < 32; ++k)
      for (int j = 0; j < 8; ++j)
        row[j] += a[i * 32 + k] * b[k * 8 + j];
    memcpy(out + i * 8, row, 8 * sizeof(float));
  }
}

// i64 counter, i64 limit -> i1
KERNEL(less) {
  const int64_t *a = args[0], *b = args[1];
  *(uint8_t *)args[2] = *a < *b;
}

// i64: out = a + 1
KERNEL(increment) { *(int64_t *)args[1] = *(const int64_t *)args[0] + 1; }

// Calls the math library and the conversion helpers.
KERNEL(functions) {
  const float *a = args[0];
  float *out = args[1];
  for (int64_t i = begin; i < end; ++i)
    out[i] = expf(a[i]) + tanhf(a[i]) + erff(a[i]) + powf(2, a[i]) +
             fmodf(a[i], 3) + lgammaf(a[i] + 2) + roundevenf(a[i]);
}

KERNEL(to_half) {
  const float *a = args[0];
  _Float16 *out = args[1];
  for (int64_t i = begin; i < end; ++i)
    out[i] = (_Float16)a[i];
}

KERNEL(to_bfloat) {
  const float *a = args[0];
  __bf16 *out = args[1];
  for (int64_t i = begin; i < end; ++i)
    out[i] = (__bf16)a[i];
}

KERNEL(from_half) {
  const _Float16 *a = args[0];
  float *out = args[1];
  for (int64_t i = begin; i < end; ++i)
    out[i] = (float)a[i];
}

// One work item per thread's chunk test: out[i] = 1 + the chunk's begin.
KERNEL(chunk_begin) {
  int64_t *out = args[0];
  for (int64_t i = begin; i < end; ++i)
    out[i] += 1 + begin;
}
