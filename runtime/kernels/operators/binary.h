/* The functions of binary.c. */
#ifndef TIDE_BINARY_H
#define TIDE_BINARY_H

/* Every function of a and b; a plan's function numbers count from 1 in this order. */
#define BINARY_FUNCTIONS(F) \
  F(add, a + b)             \
  F(sub, a - b)             \
  F(mul, a *b)              \
  F(div, a / b)             \
  F(max, a > b ? a : b)     \
  F(min, a < b ? a : b)

enum {
#define F(name, expression) BINARY_##name,
  BINARY_FUNCTIONS(F)
#undef F
      BINARY_COUNT
};

#endif
