/* The functions of map.c. */
#ifndef TIDE_MAP_H
#define TIDE_MAP_H

/* Every function of x and the operation's numbers n; a plan's function numbers count from 1 in this order. */
#define MAP_FUNCTIONS(F)                                  \
  F(relu, x > 0.0f ? x : 0.0f)                            \
  F(leaky_relu, x < 0.0f ? x * n[0] : x)                  \
  F(tanh, tide_tanh(x))                                   \
  F(sigmoid, tide_sigmoid(x))                             \
  F(hard_sigmoid, tide_clamp(x *n[0] + n[1], 0.0f, 1.0f)) \
  F(erf, tide_erf(x))                                     \
  F(gelu, tide_gelu(x))                                   \
  F(gelu_tanh, tide_gelu_tanh(x))                         \
  F(sqrt, tide_sqrt(x))                                   \
  F(abs, fabsf(x))                                        \
  F(neg, -x)                                              \
  F(exp, tide_exp(x))                                     \
  F(log, tide_log(x))                                     \
  F(reciprocal, 1.0f / x)                                 \
  F(square, x *x)                                         \
  F(elu, tide_elu(x, n[0]))                               \
  F(softplus, tide_softplus(x))                           \
  F(power, tide_power(x, n[0]))

enum {
#define F(name, expression) MAP_##name,
  MAP_FUNCTIONS(F)
#undef F
      MAP_COUNT
};

#endif
