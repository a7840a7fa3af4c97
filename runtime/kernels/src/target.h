/* Switches an instruction set on inside a file, so that any build system can compile every file alike. */
#ifndef TIDE_TARGET_H
#define TIDE_TARGET_H

#define TIDE_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define TIDE_TARGET_BEGIN(isa) TIDE_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define TIDE_TARGET_END TIDE_PRAGMA(clang attribute pop)
#else
#define TIDE_TARGET_BEGIN(isa) TIDE_PRAGMA(GCC push_options) TIDE_PRAGMA(GCC target(isa))
#define TIDE_TARGET_END TIDE_PRAGMA(GCC pop_options)
#endif

#define TIDE_INLINE static inline __attribute__((always_inline))

#endif
