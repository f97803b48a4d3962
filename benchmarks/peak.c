// The most that a core multiplies: loops over registers alone, one for each kind of dot product.
// peak.py compiles and times them. In assembly, so that no compiler spills or shortens them.
// Each function runs n rounds and returns their multiply-adds.
#include <stdint.h>

// 12 independent sums hide the latency of two multiplications a cycle.
#define SUMS "4,5,6,7,8,9,10,11,12,13,14,15"
#define COUNT 12
#define LOOP(registers, body)                                                              \
  if (n > 0) {                                                                             \
    int64_t left = n;                                                                      \
    __asm__ volatile(".irp i, 0,1,2,3," SUMS                                               \
                     "\n vpxor %%xmm\\i, %%xmm\\i, %%xmm\\i\n.endr\n"                      \
                     ".p2align 5\n1:\n.irp i, " SUMS "\n" body ".endr\n dec %0\n jnz 1b\n" \
                     : "+r"(left)                                                          \
                     :                                                                     \
                     : "cc", registers);                                                   \
  }
#define ALL                                                                                \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

int64_t peak_fma(int64_t n) {
  LOOP(ALL, "vfmadd231ps %%ymm0, %%ymm1, %%ymm\\i\n")
  return n * COUNT * 8;
}

// s16 x s16, as exact 8-bit kernels do it: multiply, add.
int64_t peak_maddwd(int64_t n) {
  LOOP(ALL,
       "vpmaddwd %%ymm0, %%ymm1, %%ymm2\n"
       "vpaddd %%ymm2, %%ymm\\i, %%ymm\\i\n")
  return n * COUNT * 16;
}

// u8 x s8: multiply to s16, widen, add.
int64_t peak_maddubs(int64_t n) {
  LOOP(ALL,
       "vpmaddubsw %%ymm0, %%ymm1, %%ymm2\n"
       "vpmaddwd %%ymm2, %%ymm3, %%ymm2\n"
       "vpaddd %%ymm2, %%ymm\\i, %%ymm\\i\n")
  return n * COUNT * 32;
}

int64_t peak_dpbusd(int64_t n) {
  LOOP(ALL, "%{vex%} vpdpbusd %%ymm0, %%ymm1, %%ymm\\i\n")
  return n * COUNT * 32;
}

int64_t peak_fma512(int64_t n) {
  LOOP(ALL, "vfmadd231ps %%zmm0, %%zmm1, %%zmm\\i\n")
  return n * COUNT * 16;
}

int64_t peak_dpbusd512(int64_t n) {
  LOOP(ALL, "vpdpbusd %%zmm0, %%zmm1, %%zmm\\i\n")
  return n * COUNT * 64;
}

static void read_once(const char* from, int64_t bytes) {
  int64_t left = bytes / 128;
  if (left == 0) return;
  __asm__ volatile(
      ".p2align 5\n1:\n"
      "vmovdqu (%1), %%ymm0\n vmovdqu 32(%1), %%ymm1\n"
      "vmovdqu 64(%1), %%ymm2\n vmovdqu 96(%1), %%ymm3\n"
      "add $128, %1\n dec %0\n jnz 1b\n"
      : "+r"(left), "+r"(from)
      :
      : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3");
}

// Reads a buffer again and again: the bandwidth that a vector times a matrix can have.
int64_t read_rounds(const char* from, int64_t bytes, int64_t rounds) {
  for (int64_t i = 0; i < rounds; ++i) read_once(from, bytes);
  return bytes * rounds;
}
