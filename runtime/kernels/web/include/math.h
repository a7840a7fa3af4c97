/* What the engine needs of the C library, as instructions of WebAssembly. */
#ifndef TIDE_WEB_MATH_H
#define TIDE_WEB_MATH_H

#define fabsf __builtin_fabsf
#define sqrtf __builtin_sqrtf
#define copysignf __builtin_copysignf
#define NAN __builtin_nanf("")

#endif
