/* The table of operators. */
#include "operators.h"

#define TIDE_OPERATOR(name) extern const tide_operator tide_operator_##name;
#define TIDE_NO_OPERATOR(name)
#include "operators.inc"
#undef TIDE_OPERATOR
#undef TIDE_NO_OPERATOR

static const tide_operator *const OPERATORS[] = {
#define TIDE_OPERATOR(name) &tide_operator_##name,
#define TIDE_NO_OPERATOR(name) NULL,
#include "operators.inc"
#undef TIDE_OPERATOR
#undef TIDE_NO_OPERATOR
};

uint32_t tide_operator_count(void) { return sizeof OPERATORS / sizeof *OPERATORS; }

const tide_operator *tide_operator_of(uint32_t kind) {
  return kind >= 1 && kind <= tide_operator_count() ? OPERATORS[kind - 1] : NULL;
}
