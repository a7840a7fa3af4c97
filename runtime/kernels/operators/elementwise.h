/* The functions of elementwise.c. */
#ifndef TIDE_ELEMENTWISE_H
#define TIDE_ELEMENTWISE_H

/* Every function of x and the constant c; a plan's function numbers count from 1 in this order. */
#define ELEMENTWISE_FUNCTIONS(F) \
  F(add, x + c)                  \
  F(sub, x - c)                  \
  F(mul, x *c)                   \
  F(div, x / c)                  \
  F(from, c - x)                 \
  F(into, c / x)                 \
  F(max, x > c ? x : c)          \
  F(min, x < c ? x : c)          \
  F(prelu, x < 0.0f ? x * c : x)

enum {
#define F(name, expression) ELEMENTWISE_##name,
  ELEMENTWISE_FUNCTIONS(F)
#undef F
      ELEMENTWISE_COUNT
};

#endif
