#include "kernels.h"

static const tide_variant *const VARIANTS[] = {
#define TIDE_VARIANT(name) &tide_variant_##name,
#include "variants.inc"
#undef TIDE_VARIANT
};

enum { COUNT = sizeof VARIANTS / sizeof *VARIANTS };

const tide_variant *tide_variant_at(size_t index) { return index < COUNT ? VARIANTS[index] : NULL; }

const char *tide_variant_name(const tide_variant *variant) { return variant->name; }

int tide_variant_supported(const tide_variant *variant) { return variant->supported(); }

const tide_variant *tide_variant_best(void) {
  size_t i = 0;
  while (!VARIANTS[i]->supported()) i++; /* the last one, scalar, always is */
  return VARIANTS[i];
}

#define TEXT_OF(number) #number
#define VERSION_OF(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *tide_version(void) { return VERSION_OF(TIDE_VERSION_MAJOR, TIDE_VERSION_MINOR, TIDE_VERSION_PATCH); }
