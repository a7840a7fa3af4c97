/* avx_vnni in the encoding of AVX-512 VL: shows on a processor with AVX-512 what avx_vnni computes and about what it
 * costs. */
#include "variant.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "x86.h"

static int variant_supported(void) { return x86_has(X86_AVX2 | X86_AVX512 | X86_AVX512_VNNI); }

TIDE_TARGET_BEGIN("avx2,avx512f,avx512vl,avx512vnni")

#define VARIANT avx512_vnni_256
#define DPBUSD(sum, w, x) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x))

#include "vnni_256.inc"

TIDE_TARGET_END
#endif
