/* What a variant gives: the kernels for one instruction set, and how it wants its weights laid out. */
#ifndef TIDE_KERNELS_H
#define TIDE_KERNELS_H

#include "plan.h"

/* How the weights of a matrix are stored; GROUPS: with a scale for each group of inputs. */
typedef enum tide_format {
  FORMAT_INT8,
  FORMAT_INT8_GROUPS,
  FORMAT_INT4,
  FORMAT_INT4_GROUPS,
  FORMAT_INT16,
  FORMAT_INT16_GROUPS,
  FORMAT_FLOAT,
  FORMATS
} tide_format;

/* A weight matrix packed for a variant, or for one that reads rows in place as the plan has it: then `panels` are its
 * codes, a vector is a row, and `group_steps` are inputs.
 *
 * Rows stand in vectors of `lanes`, vectors in panels of the widths that tide_panel_width gives. Within a
 * panel the inputs go in steps of the format's depth, and for each step all vectors of the panel follow each
 * other, so a dot product walks memory once, straight on; of 4-bit weights two steps share their bytes. After
 * the steps of a group stand its scales. The gates of a unit lie in the same lane of as many vectors of one
 * panel: gates can be computed as soon as a panel is done. */
typedef struct tide_matrix {
  tide_format format;
  const int8_t *panels;
  const float *scales; /* row scales, 1 where groups have theirs, times code_scale; in place those of the plan */
  const float *bias;   /* of what reads its own h NULL where there is none */
  uint32_t gates;      /* of a unit; 1: any rows */
  uint32_t rows, columns;
  uint32_t vectors;     /* of packed rows, padding included */
  size_t vector_bytes;  /* of one of them */
  uint32_t steps;       /* of inputs, padding included */
  uint32_t group_steps; /* that share a scale */
  uint32_t code_bytes;  /* of one frame */
  int planes;           /* of bytes that its codes take: 1 up to 8 bits, else 2 */
  /* What the stored weights are too large by. What that adds to a sum is the same for all rows: the codes of a frame
   * end with what each group's sums start from, at `starts`. */
  int32_t centre;
  uint32_t groups, starts;
  plan_reading reading;
  float q;                   /* largest code */
  float range;               /* what it says, but for READ_FRAME, where each frame has its own */
  float codes_per_one;       /* q / range */
  float code_scale;          /* what a code of the own h is worth, range / q; 1 where its scale comes with it */
  int32_t exponent, largest; /* of the codes that an integer operator reads, int16 */
} tide_matrix;

/* Loops over floats that an operator's functions give; see operators/NAME.h. */
typedef void tide_map(const float *in, size_t count, const float *numbers, float *out);
typedef void tide_elementwise(const float *in, size_t width, const float *constant, float *out);
/* Steps of 0 repeat a value of width 1. */
typedef void tide_binary(const float *x, size_t x_step, const float *y, size_t y_step, size_t width, float *out);
typedef float tide_reduce(const float *x, size_t n);
typedef void tide_softmax(const float *x, size_t n, float *out);

/* One stream's part in a step of a cell: its input's share of the gates, h and c (an LSTM's) in place, the codes of h
 * and those to be of the h that is made. */
typedef struct tide_cell_row {
  const float *gates_x;
  const uint8_t *codes;
  float *h, *c;
  uint8_t *next;
} tide_cell_row;

/* One step of a cell for several streams, whose rows share each read of the weights; `backwards` reads them from the
 * end. */
typedef void tide_cell_step(const tide_matrix *r, const tide_cell_row *rows, uint32_t count, int backwards);

struct tide_variant {
  const char *name;
  int in_place; /* it reads weights, scales and biases where the plan has them; nothing is packed */
  int swapped;  /* codes that 8-bit weights read stand in fours whose middle two have changed places; see tide_place */
  uint32_t block; /* frames that go through the operations together; longer pushes run block after block, so scratch is
                   * bounded. With 16 the input part runs at the arithmetic's peak, not the memory's. */
  uint32_t lanes;
  uint32_t depth;
  uint32_t panel;           /* vectors in a full panel, a multiple of 4 */
  int32_t centre4, centre8; /* what stored weights of 4 and 8 bits are too large by, where that adds to sums */
  int (*supported)(void);
  /* Turns one frame into codes by the matrix's reading; returns the scale. */
  float (*encode)(const tide_matrix *m, const float *frame, uint8_t *codes);
  /* y[t] = (W . codes[t]) * (scale[t] * row scale) + bias, rows in packed order, `vectors * lanes` of them. */
  void (*project)(const tide_matrix *w, const uint8_t *codes, const float *scales, uint32_t frames, float *y);
  tide_cell_step *lstm_step;
  tide_cell_step *gru_step; /* the bias of r is that of the candidate's recurrent share */
  /* One step of an RNN for one stream. `scale` is that of the codes where r reads frames, else 1; so is the result. */
  float (*rnn_step)(const tide_matrix *r, const float *gates_x, const uint8_t *codes, float scale, int relu, float *h,
                    uint8_t *next);
  /* Of integer operators: sums of the products of int8 rows, up to 4, `stride` bytes apart, and int16 codes. */
  void (*sums)(const int8_t *w, size_t stride, uint32_t rows, const int16_t *codes, uint32_t count, int32_t *sums);
  /* Whether all magnitudes are at most 2^64; NaN and infinity are not. */
  int (*in_range)(const float *values, size_t count);
  /* The functions of float operators, by their numbers in a plan less 1. */
  tide_map *const *map;
  tide_elementwise *const *elementwise;
  tide_binary *const *binary;
  tide_reduce *const *reduce;
  tide_softmax *const *softmax;
  void (*layer_norm)(const float *x, size_t n, const float *scale, const float *bias, float epsilon, float *out);
  /* The gates of an LSTM with projection: c in place, o * tanh(c) to `outputs`. */
  void (*update_units)(const float *gates_x, const float *gates_h, size_t units, float *c, float *outputs);
};

/* Where among the codes of a frame that of input k stands. */
static inline uint32_t tide_place(int swapped, uint32_t k, uint32_t columns) {
  return swapped && (k | 3) < columns ? (k & ~3u) | (k & 1) << 1 | (k >> 1 & 1) : k;
}

/* `sums` of variants that have none of their own. */
void tide_row_sums(const int8_t *w, size_t stride, uint32_t rows, const int16_t *codes, uint32_t count, int32_t *sums);

#define TIDE_VARIANT(name) extern const tide_variant tide_variant_##name;
#include "variants.inc"
#undef TIDE_VARIANT

/* Memory handed out front to back; with a NULL base it only counts. */
typedef struct tide_arena {
  uint8_t *base;
  size_t used;
} tide_arena;

static inline size_t tide_round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

static inline void *tide_take(tide_arena *arena, size_t bytes) {
  uint8_t *at = arena->base ? arena->base + arena->used : NULL;
  arena->used += tide_round_up(bytes, TIDE_ALIGNMENT);
  return at;
}

/* Vectors of the next panel when `left` are left: full panels, then small ones. */
static inline uint32_t tide_panel_width(uint32_t panel, uint32_t gates, uint32_t left) {
  const uint32_t full = gates == 3 ? panel / 4 * 3 : panel, small = gates == 3 ? 3 : 4;
  return left >= full ? full : left >= small ? small : 1;
}

/* What a matrix multiplies: its operation's input, or the h that its cell made the step before. */
typedef enum tide_role { READS_INPUT, READS_OWN_H } tide_role;

/* Packs a matrix of `gates` x units rows (gates = 1: any rows) into the arena. The bias has one value a row, or for
 * READS_OWN_H one a unit, of the last gate; NULL stands for zeros. */
tide_matrix tide_pack(tide_arena *arena, const plan_matrix *m, const float *bias, uint32_t gates, tide_role role,
                      const tide_variant *variant);

/* A matrix of an integer operator, in place. */
tide_matrix tide_fixed_matrix(const plan_matrix *m);
/* The codes of a frame for it. */
void tide_fixed_codes(const tide_matrix *m, const tide_variant *variant, const float *x, int16_t *codes);
/* Products of the rows `row`, `row + step`, ..., up to 4, with codes: codes of an exponent. */
void tide_fixed_sums(const tide_matrix *m, const tide_variant *variant, uint32_t row, uint32_t step, uint32_t rows,
                     const int16_t *codes, int32_t exponent, int32_t *sums);

#endif
