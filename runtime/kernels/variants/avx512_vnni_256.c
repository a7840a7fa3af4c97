/* avx_vnni in the encoding of AVX-512 VL: shows on a processor with AVX-512 what avx_vnni computes and about what it
 * costs. */
#include "variant.h"

#if defined(__x86_64__)
#include <immintrin.h>

TIDE_TARGET_BEGIN("avx2,avx512f,avx512vl,avx512vnni")

#define VARIANT avx512_vnni_256
#define DPBUSD(sum, w, x) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x))

static int variant_supported(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

#include "vnni_256.inc"

TIDE_TARGET_END
#endif
