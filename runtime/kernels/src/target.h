/* Switches an instruction set on within a file, so that all files are compiled with the same flags. */
#ifndef TIDE_TARGET_H
#define TIDE_TARGET_H

/* These options of a project would give other bits, or let NaN through. Clang has no macro for some of them. */
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "tidegate: compiled with -ffast-math, the engine gives other bits; compile it with -fno-fast-math"
#endif

#define TIDE_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define TIDE_TARGET_BEGIN(isa) TIDE_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define TIDE_TARGET_END TIDE_PRAGMA(clang attribute pop)
#else
#define TIDE_TARGET_BEGIN(isa) TIDE_PRAGMA(GCC push_options) TIDE_PRAGMA(GCC target(isa))
#define TIDE_TARGET_END TIDE_PRAGMA(GCC pop_options)
#endif

#define TIDE_INLINE static inline __attribute__((always_inline))
#define TIDE_APART __attribute__((noinline, unused))

/* What a compiler may be too old for; such a variant is left out of the list too. avxvnni was built by GCC 12 and Clang
 * 14, and not by older ones. Apple numbers its Clang differently, and sells no such processor. */
#if !defined(__x86_64__) || defined(__apple_build_version__)
#define TIDE_HAS_AVX_VNNI 0
#elif defined(__clang__)
#define TIDE_HAS_AVX_VNNI (__clang_major__ >= 14)
#else
#define TIDE_HAS_AVX_VNNI (__GNUC__ >= 12)
#endif

/* Clang 18 to 21 has registers of 512 bits as a feature of its own, which `zig cc` and -mno-evex512 switch off. */
#if defined(__clang__) && __clang_major__ >= 18 && __clang_major__ <= 21 && !defined(__apple_build_version__)
#define TIDE_HAS_EVEX512 1
#else
#define TIDE_HAS_EVEX512 0
#endif

/* Dot products in a file that is compiled for plain AArch64: Clang's arm_neon.h hides them up to version 15. */
#if !defined(__aarch64__)
#define TIDE_HAS_NEON_DOTPROD 0
#elif defined(__clang__) && !defined(__ARM_FEATURE_DOTPROD)
#define TIDE_HAS_NEON_DOTPROD (__clang_major__ >= 16)
#else
#define TIDE_HAS_NEON_DOTPROD 1
#endif

/* Instruction sets of 32-bit Arm are switched on by compiler flags only (-mcpu=cortex-m4, -mfpu=neon). */
#if defined(__ARM_FEATURE_MVE)
#define TIDE_HAS_HELIUM 1
#else
#define TIDE_HAS_HELIUM 0
#endif
#if defined(__ARM_FEATURE_SIMD32) && __ARM_ARCH_PROFILE == 'M' && !TIDE_HAS_HELIUM
#define TIDE_HAS_ARM_DSP 1
#else
#define TIDE_HAS_ARM_DSP 0
#endif
#if defined(__ARM_NEON) && !defined(__aarch64__)
#define TIDE_HAS_NEON32 1
#else
#define TIDE_HAS_NEON32 0
#endif

/* Vectors of WebAssembly are on in a whole module or in none of it (-msimd128). */
#if defined(__wasm_simd128__)
#define TIDE_HAS_WASM_SIMD128 1
#else
#define TIDE_HAS_WASM_SIMD128 0
#endif

#endif
