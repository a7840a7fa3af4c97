/* The activation functions of the cells with options. */
#ifndef TIDE_ACTIVATIONS_H
#define TIDE_ACTIVATIONS_H

/* Every function of x and its numbers n, alpha and beta; a plan's numbers count from 1 in this order. The values of the
 * first two are within [0, 1], those of the next two within [-1, 1]. */
#define ACTIVATION_FUNCTIONS(F)                           \
  F(sigmoid, tide_sigmoid(x))                             \
  F(hard_sigmoid, tide_clamp(x *n[0] + n[1], 0.0f, 1.0f)) \
  F(tanh, tide_tanh(x))                                   \
  F(softsign, x / (1.0f + fabsf(x)))                      \
  F(relu, x > 0.0f ? x : 0.0f)                            \
  F(leaky_relu, x < 0.0f ? x * n[0] : x)                  \
  F(thresholded_relu, x > n[0] ? x : 0.0f)                \
  F(elu, tide_elu(x, n[0]))                               \
  F(softplus, tide_softplus(x))                           \
  F(affine, x *n[0] + n[1])                               \
  F(scaled_tanh, n[0] * tide_tanh(x * n[1]))

enum {
#define F(name, expression) ACTIVATION_##name,
  ACTIVATION_FUNCTIONS(F)
#undef F
      ACTIVATION_COUNT
};

#endif
