/* What a variant is: the kernels for one instruction set, and the layout of weights that they need. */
#ifndef TIDE_KERNELS_H
#define TIDE_KERNELS_H

#include "arena.h"

/* How the weights of a matrix are stored. GROUPS: with a scale for each group of inputs. WORDS: 8-bit weights as
 * int16, of a small matrix. COLUMN: one input's integer weights as floats, and its code as a float. Its one product,
 * rounded, is the integer sum, rounded. */
typedef enum tide_format {
  FORMAT_INT8,
  FORMAT_INT8_GROUPS,
  FORMAT_INT4,
  FORMAT_INT4_GROUPS,
  FORMAT_INT16,
  FORMAT_INT16_GROUPS,
  FORMAT_WORDS,
  FORMAT_FLOAT,
  FORMAT_COLUMN,
  FORMATS
} tide_format;

/* The formats that a build has, one bit each; a build for one plan has those of the plan. */
#ifndef TIDE_FORMATS
#define TIDE_FORMATS ((1u << FORMATS) - 1)
#endif
#define TIDE_HAS_FORMAT(format) (TIDE_FORMATS >> (format) & 1u)

/* A weight matrix as a variant reads it.
 *
 * Packed: `lanes` rows form a vector, and vectors form panels of the widths that tide_panel_width gives. In a panel
 * the inputs are cut into steps of `depth`. A step's bytes of all vectors of the panel are adjacent, so a
 * dot product walks memory once, forwards. Two steps of 4-bit weights share their bytes, or two vectors do (see
 * `paired`). The scales of a group follow its steps. The gates of a unit are in the same lane of different vectors of
 * one panel, so they can be computed as soon as the panel is done.
 *
 * In place, for variants that read the plan's own rows: `panels` are the plan's codes, a vector is one row, and
 * `group_steps` are inputs. */
typedef struct tide_matrix {
  tide_format format;
  const int8_t *panels;
  const float *scales; /* row scales (1 if groups have scales) times code_scale; in place the plan's */
  const float *bias;   /* NULL: none, in a matrix that reads its cell's own h */
  uint32_t gates;      /* gates of a unit; 1: rows of any meaning */
  uint32_t rows, columns;
  uint32_t vectors;     /* of packed rows, padding included */
  size_t vector_bytes;  /* of one vector */
  uint32_t depth;       /* inputs of a step */
  uint32_t steps;       /* of inputs, padding included */
  uint32_t group_steps; /* steps that share a scale */
  uint32_t code_bytes;  /* of one frame */
  int planes;           /* planes of bytes of its codes: 1 up to 8 bits, else 2 */
  /* How much too large the stored weights are. This adds the same to the sums of all rows. So the codes of a frame end
   * with the value that each group's sums start from; `starts` is where. (pairs.inc needs such values without a centre
   * too.) */
  int32_t centre;
  uint32_t groups, starts;
  plan_reading reading;
  float q;                   /* largest code */
  float range;               /* the magnitude of the largest code; with READ_FRAME each frame has its own */
  float codes_per_one;       /* q / range */
  float code_scale;          /* scale of the codes of the cell's own h, range / q; 1 if h has a scale per step */
  int32_t exponent, largest; /* of the int16 codes that an integer operator reads */
} tide_matrix;

/* Loops over floats, one for each function of a float operator; see operators/NAME.h. */
typedef void tide_map(const float *in, size_t count, const float *numbers, float *out);
typedef void tide_elementwise(const float *in, size_t width, const float *constant, float *out);
/* Steps of 0 repeat a value of width 1. */
typedef void tide_binary(const float *x, size_t x_step, const float *y, size_t y_step, size_t width, float *out);
typedef float tide_reduce(const float *x, size_t n);
typedef void tide_softmax(const float *x, size_t n, float *out);

/* One stream in a step of a cell: the input's share of the gates, whose memory a step may use; h and, of an LSTM, c,
 * which are updated in place; the codes of h; and where the codes of the new h go. */
typedef struct tide_cell_row {
  float *gates_x;
  const uint8_t *codes;
  float *h, *c;
  uint8_t *next;
} tide_cell_row;

/* One step of a cell for several streams, which share each read of the weights. `backwards` reads the weights from the
 * end. */
typedef void tide_cell_step(const tide_matrix *r, const tide_cell_row *rows, uint32_t count, int backwards);

struct tide_variant {
  const char *name;
  int in_place;   /* it reads the plan's own weights, scales and biases; nothing is packed */
  int swapped;    /* codes for weights of 4 and 8 bits are in fours with the middle two swapped; see tide_place */
  int paired;     /* a byte has the 4-bit weights of one input for an even vector of the panel (its low half) and the
                     next; else, and for the last vector of an odd width, those of two steps */
  uint32_t block; /* frames that go through the operations together; longer pushes run block by block, so scratch is
                     bounded. With 16 the input's part is bound by arithmetic, not by memory */
  uint32_t lanes;
  uint32_t depths[2][2];    /* inputs of a step: of weights of 4 and of 8 bits, by planes of codes, one or two */
  uint32_t panel;           /* vectors in a full panel, a multiple of 4 */
  uint32_t bytes8;          /* of a stored weight of 8 bits: 1, or 2 if it is stored as int16 */
  uint32_t words;           /* the most 8-bit weights of a matrix with 16-bit codes that are stored as int16 */
  int32_t centre4, centre8; /* how much too large stored weights of 4 and 8 bits are, if that adds to sums */
  int (*supported)(void);
  /* Turns one frame into codes by the matrix's reading; returns their scale. */
  float (*encode)(const tide_matrix *m, const float *frame, uint8_t *codes);
  /* y[t] = (W . codes[t]) * (scale[t] * row scale) + bias, rows in packed order, `vectors * lanes` of them. */
  void (*project)(const tide_matrix *w, const uint8_t *codes, const float *scales, uint32_t frames, float *y);
  tide_cell_step *lstm_step;
  tide_cell_step *gru_step; /* the bias of r belongs to the candidate's recurrent share */
  /* One step of an RNN for one stream. `scale` is the scale of the codes if r has READ_FRAME, else 1; the result is
   * that of the new codes. */
  float (*rnn_step)(const tide_matrix *r, const float *gates_x, const uint8_t *codes, float scale, int relu, float *h,
                    uint8_t *next);
  /* For integer operators: dot products of up to 4 int8 rows, `stride` bytes apart, with int16 codes. */
  void (*sums)(const int8_t *w, size_t stride, uint32_t rows, const int16_t *codes, uint32_t count, int32_t *sums);
  /* Whether all magnitudes are at most 2^64; NaN and infinity are not. */
  int (*in_range)(const float *values, size_t count);
  /* The functions of float operators; the index is the plan's function number less 1. */
  tide_map *const *map;
  tide_elementwise *const *elementwise;
  tide_binary *const *binary;
  tide_reduce *const *reduce;
  tide_softmax *const *softmax;
  void (*layer_norm)(const float *x, size_t n, const float *scale, const float *bias, float epsilon, float *out);
  /* The activation functions of cells with options; the index is their number less 1. */
  tide_map *const *activation;
  /* The gates of an LSTM with projection: updates c in place, writes o * tanh(c) to `outputs`. */
  void (*update_units)(const float *gates_x, const float *gates_h, size_t units, float *c, float *outputs);
};

/* The place of input k's code among the codes of a frame. */
static inline uint32_t tide_place(int swapped, uint32_t k, uint32_t columns) {
  return swapped && (k | 3) < columns ? (k & ~3u) | (k & 1) << 1 | (k >> 1 & 1) : k;
}

/* The `sums` of variants that have none of their own. */
void tide_row_sums(const int8_t *w, size_t stride, uint32_t rows, const int16_t *codes, uint32_t count, int32_t *sums);

#define TIDE_VARIANT(name) extern const tide_variant tide_variant_##name;
#include "variants.inc"
#undef TIDE_VARIANT

/* Vectors of the next panel if `left` remain: full panels first, then small ones. */
static inline uint32_t tide_panel_width(uint32_t panel, uint32_t gates, uint32_t left) {
  const uint32_t full = gates == 3 ? panel / 4 * 3 : panel, small = gates == 3 ? 3 : 4;
  return left >= full ? full : left >= small ? small : 1;
}

/* What a matrix multiplies: its operation's input, or its cell's h of the step before. */
typedef enum tide_role { READS_INPUT, READS_OWN_H } tide_role;

/* Packs a matrix of `gates` x units rows (gates = 1: any rows) into the arena. The bias has one value per row; with
 * READS_OWN_H one per unit, for the last gate. NULL means zeros. */
tide_matrix tide_pack(tide_arena *arena, const plan_matrix *m, const float *bias, uint32_t gates, tide_role role,
                      const tide_variant *variant);

/* A matrix of an integer operator, in place. */
tide_matrix tide_fixed_matrix(const plan_matrix *m);
/* Writes the codes of a frame for such a matrix. */
void tide_fixed_codes(const tide_matrix *m, const tide_variant *variant, const float *x, int16_t *codes);
/* Dot products of the rows `row`, `row + step`, ... (up to 4) with codes, as codes of `exponent`. */
void tide_fixed_sums(const tide_matrix *m, const tide_variant *variant, uint32_t row, uint32_t step, uint32_t rows,
                     const int16_t *codes, int32_t exponent, int32_t *sums);

#endif
