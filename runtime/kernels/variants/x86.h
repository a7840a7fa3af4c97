/* Which instructions an x86 processor has, if its system also keeps the registers that they need. The answer of
 * __builtin_cpu_supports is in a library of the compiler that `zig cc` does not have, and that clang does not link
 * beside Microsoft's. Include this file, and ask, before TIDE_TARGET_BEGIN: any processor can be asked. */
#ifndef TIDE_X86_H
#define TIDE_X86_H

#include <cpuid.h>
#include <stdint.h>

enum {
  X86_SSE41 = 1,
  X86_AVX2 = 2,
  X86_AVX_VNNI = 4,
  X86_AVX512 = 8,       /* F and VL */
  X86_AVX512_WIDE = 16, /* BW and DQ */
  X86_AVX512_VNNI = 32,
  X86_YMM = 1 << 1 | 1 << 2, /* registers that a system may keep, as XGETBV says it */
  X86_ZMM = X86_YMM | 1 << 5 | 1 << 6,
};

static inline uint32_t x86_kept(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
#if defined(__APPLE__) /* it begins to keep them at the first use */
  if ((low & X86_YMM) == X86_YMM) low |= X86_ZMM;
#endif
  return low;
}

/* Those of leaf 7, for the registers that are kept. */
static inline uint32_t x86_vectors(uint32_t kept) {
  uint32_t a, b, c, d, leaves, found = 0;
  __cpuid_count(7, 0, leaves, b, c, d);
  if ((kept & X86_YMM) == X86_YMM && b & bit_AVX2) found |= X86_AVX2;
  if ((kept & X86_ZMM) == X86_ZMM) {
    if (b & bit_AVX512F && b & bit_AVX512VL) found |= X86_AVX512;
    if (b & bit_AVX512BW && b & bit_AVX512DQ) found |= X86_AVX512_WIDE;
    if (c & bit_AVX512VNNI) found |= X86_AVX512_VNNI;
  }
  if (!leaves || !(found & X86_AVX2)) return found;
  __cpuid_count(7, 1, a, b, c, d);
  return a & 1 << 4 ? found | X86_AVX_VNNI : found; /* older compilers have no name for the bit */
}

static inline int x86_has(uint32_t wanted) {
  uint32_t a, b, c, d, leaves, found = 0;
  __cpuid(0, leaves, b, c, d);
  if (leaves < 1) return 0;
  __cpuid(1, a, b, c, d);
  if (c & bit_SSE4_1) found |= X86_SSE41;
  if (leaves >= 7 && c & bit_OSXSAVE) found |= x86_vectors(x86_kept());
  return (found & wanted) == wanted;
}

#endif
