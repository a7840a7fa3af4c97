/* Loops that do nothing but read, or nothing but multiply and add, one pair for each variant that has a clock to be
 * timed by: not for helium and arm_dsp, whose processors run no operating system. */
#include "limits.h"

#include <string.h>

#include "../runtime/kernels/src/target.h"

enum { SUMS = 12 }; /* independent: 10 hide the latency of vpdpbusd; with two more vectors they fit 16 registers */

/* Reads with vectors of some bytes, four at a time; they divide LIMIT_BLOCK. */
#define READ(name, target, width)                                                       \
  target static int64_t name(const uint8_t *p, size_t bytes) {                          \
    typedef int64_t vector __attribute__((vector_size(width), may_alias));              \
    vector some[4] = {{0}, {0}, {0}, {0}};                                              \
    for (size_t i = 0; i + sizeof some <= bytes; i += sizeof some) {                    \
      const vector *at = (const vector *)(const void *)(p + i);                         \
      for (int v = 0; v < 4; v++) some[v] |= at[v];                                     \
    }                                                                                   \
    const vector all = (some[0] | some[1]) | (some[2] | some[3]);                       \
    int64_t any = 0;                                                                    \
    for (size_t lane = 0; lane < sizeof(vector) / sizeof any; lane++) any |= all[lane]; \
    return any;                                                                         \
  }

/* Multiplies by an instruction: %0 is a sum, %1 a vector to use, %2 the operands. */
#define MULTIPLY(name, target, width, registers, instruction)                                                \
  target static void name(uint32_t loops) {                                                                  \
    typedef int32_t vector __attribute__((vector_size(width)));                                              \
    vector sums[SUMS] = {{0}}, spare;                                                                        \
    const vector operands = {1};                                                                             \
    for (uint32_t n = 0; n < loops; n++) {                                                                   \
      TIDE_PRAGMA(GCC unroll 12)                                                                             \
      for (int i = 0; i < SUMS; i++)                                                                         \
        __asm__ volatile(instruction : "+" registers(sums[i]), "=&" registers(spare) : registers(operands)); \
    }                                                                                                        \
  }

READ(read_16, , 16)

/* What the compiler makes of plain C, from the first cache: four rows share the loads of x, as in the engine. */
enum { PLAIN = 1024 };
static void multiply_plain(uint32_t loops) {
  static int16_t w[4][PLAIN], x[PLAIN];
  for (uint32_t n = 0; n < loops; n++) {
    int32_t sums[4] = {0};
    for (int k = 0; k < PLAIN; k++) {
      for (int row = 0; row < 4; row++) sums[row] += w[row][k] * x[k];
    }
    __asm__ volatile("" ::"r"(sums), "r"(w), "r"(x) : "memory"); /* or the loop is left out */
  }
}

#if defined(__x86_64__)
#define AVX512 __attribute__((target("avx512f,avx512vl,avx512vnni")))
#define AVX2 __attribute__((target("avx2")))
#define SSE41 __attribute__((target("sse4.1")))
READ(read_64, AVX512, 64)
READ(read_32, AVX2, 32)
MULTIPLY(multiply_avx512_vnni, AVX512, 64, "v", "vpdpbusd %2, %2, %0")
MULTIPLY(multiply_avx512_vnni_256, AVX512, 32, "v", "vpdpbusd %2, %2, %0")
MULTIPLY(multiply_avx2, AVX2, 32, "x", "vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0")
MULTIPLY(multiply_sse41, SSE41, 16, "x", "movdqa %2, %1\n\tpmaddwd %2, %1\n\tpaddd %1, %0")
#endif
#if TIDE_HAS_AVX_VNNI
#define AVX_VNNI __attribute__((target("avx2,avxvnni")))
MULTIPLY(multiply_avx_vnni, AVX_VNNI, 32, "x", "%{vex%} vpdpbusd %2, %2, %0")
#endif
#if TIDE_HAS_NEON_DOTPROD
MULTIPLY(multiply_neon_dotprod, __attribute__((target("arch=armv8.2-a+dotprod"))), 16, "w",
         "sdot %0.4s, %2.16b, %2.16b")
#endif
#if defined(__aarch64__)
MULTIPLY(multiply_neon, , 16, "w", "smull %1.8h, %2.8b, %2.8b\n\tsmlal2 %1.8h, %2.16b, %2.16b\n\tsadalp %0.4s, %1.8h")
#endif
#if TIDE_HAS_NEON32
MULTIPLY(multiply_neon32, , 16, "w", "vmlal.s16 %q0, %e2, %e2\n\tvmlal.s16 %q0, %f2, %f2")
#endif

static const tide_limits LIMITS[] = {
#if defined(__x86_64__)
    {"avx512_vnni", "vpdpbusd on 512 bits, twice for 16-bit activations", read_64, multiply_avx512_vnni, SUMS * 64, 2},
    {"avx512_vnni_256", "vpdpbusd on 256 bits, twice for 16-bit activations", read_32, multiply_avx512_vnni_256,
     SUMS * 32, 2},
    {"avx2", "vpmaddwd and vpaddd", read_32, multiply_avx2, SUMS * 16, 1},
    {"sse41", "pmaddwd and paddd", read_16, multiply_sse41, SUMS * 8, 1},
#endif
#if TIDE_HAS_AVX_VNNI
    {"avx_vnni", "vpdpbusd on 256 bits, twice for 16-bit activations", read_32, multiply_avx_vnni, SUMS * 32, 2},
#endif
#if TIDE_HAS_NEON_DOTPROD
    {"neon_dotprod", "sdot, twice for 16-bit activations", read_16, multiply_neon_dotprod, SUMS * 16, 2},
#endif
#if defined(__aarch64__)
    {"neon", "smull, smlal2 and sadalp, twice for 16-bit activations", read_16, multiply_neon, SUMS * 16, 2},
#endif
#if TIDE_HAS_NEON32
    {"neon32", "vmlal.s16", read_16, multiply_neon32, SUMS * 8, 1},
#endif
    {"scalar", "plain C on 16 bits", read_16, multiply_plain, 4 * PLAIN, 1},
};

const tide_limits *tide_limits_of(const char *variant) {
  for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
    if (strcmp(LIMITS[i].variant, variant) == 0) return &LIMITS[i];
  }
  return NULL;
}
