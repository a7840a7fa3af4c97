/* AVX-VNNI: the 256-bit vpdpbusd of processors without AVX-512. */
#include "variant.h"

#if TIDE_HAS_AVX_VNNI
#include <immintrin.h>

TIDE_TARGET_BEGIN("avx2,avxvnni")

#define VARIANT avx_vnni
#define DPBUSD(sum, w, x) __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(w), "x"(x))

static int variant_supported(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avxvnni"); }

#include "vnni_256.inc"

TIDE_TARGET_END
#endif
