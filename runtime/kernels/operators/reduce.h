/* The functions of reduce.c. */
#ifndef TIDE_REDUCE_H
#define TIDE_REDUCE_H

/* Every function of a frame x of n features; a plan's function numbers count from 1 in this order. */
#define REDUCE_FUNCTIONS(F)            \
  F(sum, tide_sum(x, n))               \
  F(mean, tide_sum(x, n) / (float)n)   \
  F(max, tide_max(x, n))               \
  F(min, tide_min(x, n))               \
  F(sum_square, tide_sum_square(x, n)) \
  F(l2, tide_sqrt(tide_sum_square(x, n)))

enum {
#define F(name, expression) REDUCE_##name,
  REDUCE_FUNCTIONS(F)
#undef F
      REDUCE_COUNT
};

#endif
