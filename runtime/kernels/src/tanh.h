/* Coefficients of tanh, for scalars and vectors alike.
 *
 * tanh(x) = u P(u^2) / Q(u^2) with u = TANH_UNIT x; both polynomials are monic of degree 4. This takes nine
 * multiplications, the plain form of the same ratio ten; they use the same execution units as the integer products. */
#ifndef TIDE_TANH_H
#define TIDE_TANH_H

#define TANH_UNIT 0x1.195c8p-6f
#define TANH_LIMIT 0x1.3c881p-3f /* u at x = 9 */
/* Coefficients of P and Q, from the lowest power. */
#define TANH_P(of) {of(0x1.3015f6p-21f), of(0x1.0d7ae2p-12f), of(0x1.74fb6ep-6f), of(0x1.d20864p-2f)}
#define TANH_Q(of) {of(0x1.4e35fap-27f), of(0x1.027eaep-16f), of(0x1.7b543ep-9f), of(0x1.fe5dd4p-4f)}

#endif
