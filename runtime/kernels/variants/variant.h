/* Every variant's file includes this file first. */
#ifndef TIDE_VARIANT_H
#define TIDE_VARIANT_H

#include <string.h>

#include "../src/kernels.h"
#include "../src/target.h"

/* Made from VARIANT, which the file defines after this: the symbol of the variant's record, tide_variant_NAME, and
 * "NAME". */
#define VARIANT_SYMBOL VARIANT_JOIN(tide_variant_, VARIANT)
#define VARIANT_NAME VARIANT_TEXT(VARIANT)
#define VARIANT_JOIN(a, b) VARIANT_JOIN_(a, b)
#define VARIANT_JOIN_(a, b) a##b
#define VARIANT_TEXT(a) VARIANT_TEXT_(a)
#define VARIANT_TEXT_(a) #a

#endif
