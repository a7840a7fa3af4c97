/* Coefficients of tanh, for scalars and vectors alike.
 *
 * tanh(x) = u P(u^2) / Q(u^2) with u = TANH_UNIT x; both polynomials are monic of degree 4. This takes nine
 * multiplications, the plain form of the same ratio ten; they use the same execution units as the integer products. */
#ifndef TIDE_TANH_H
#define TIDE_TANH_H

#define TANH_UNIT 0x1.195c8p-6f
#define TANH_LIMIT 0x1.3c881p-3f /* u at x = 9 */
static const float TANH_P[4] = {0x1.3015f6p-21f, 0x1.0d7ae2p-12f, 0x1.74fb6ep-6f, 0x1.d20864p-2f};
static const float TANH_Q[4] = {0x1.4e35fap-27f, 0x1.027eaep-16f, 0x1.7b543ep-9f, 0x1.fe5dd4p-4f};

#endif
