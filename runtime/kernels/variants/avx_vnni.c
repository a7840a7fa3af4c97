/* AVX-VNNI: the 256-bit vpdpbusd of processors without AVX-512. */
#include "variant.h"

#if TIDE_HAS_AVX_VNNI
#include <immintrin.h>

#include "x86.h"

static int variant_supported(void) { return x86_has(X86_AVX2 | X86_AVX_VNNI); }

TIDE_TARGET_BEGIN("avx2,avxvnni")

#define VARIANT avx_vnni
#define DPBUSD(sum, w, x) __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(w), "x"(x))

#include "vnni_256.inc"

TIDE_TARGET_END
#endif
