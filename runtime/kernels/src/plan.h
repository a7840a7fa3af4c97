/* The plan: a flat little-endian blob, checked once and read in place. docs/plan.md is its specification. */
#ifndef TIDE_PLAN_H
#define TIDE_PLAN_H

#include "clocks.h"
#include "tidegate.h"

/* A build for one model needs stack for its own operations only. */
#ifndef TIDE_MAX_OPS
#define TIDE_MAX_OPS 1024
#endif

enum {
  PLAN_VERSION = 2,
  PLAN_STARTS = 1, /* the flag of a plan with initial states */
  PLAN_SHAPES = 2, /* the flag of a plan whose text gives the shapes of answers */
  PLAN_HEADER_BYTES = 128,
  PLAN_OP_BYTES = 256,
  PLAN_MAX_OPS = TIDE_MAX_OPS,
  PLAN_MAX_WIDTH = 16384,
  PLAN_MAX_WIDTHS = 1 << 20,   /* of all values together */
  PLAN_MAX_TAIL = 1 << 20,     /* values that all windows carry together */
  PLAN_MAX_PRODUCTS = 1 << 28, /* of a frame, in all convolutions inside it together */
  PLAN_MAX_FRAMES = 1 << 20,   /* of a block, of its lookahead, of a stream that is one block */
  PLAN_MAX_HELD = 1 << 27,     /* values that an operation holds back */
  PLAN_MAX_IDS = 1 << 24,      /* ids reach the engine as floats, which are exact below */
  PLAN_INPUTS = 2,
  PLAN_MATRICES = 3,
  PLAN_VECTORS = 2,
  PLAN_STATES = 2, /* state vectors of an operation */
  PLAN_NUMBERS = 4,
};

/* How floats become integer codes: scaled by each frame's largest magnitude, as hidden values in (-1, 1), by a power of
 * two, or by a constant range. */
typedef enum plan_reading { READ_FRAME = 1, READ_HIDDEN = 2, READ_FIXED = 3, READ_CONSTANT = 4 } plan_reading;

typedef struct plan_matrix {
  const void *codes;   /* [rows, columns] of int8, int16 or float; or 4 bits, two per byte, rows in whole bytes */
  const float *scales; /* [rows, groups] */
  uint32_t rows, columns;
  plan_reading reading;
  uint32_t bits; /* of the activations */
  uint32_t weight_bits;
  uint32_t group;   /* inputs that share a scale; 0: all of a row */
  int32_t exponent; /* of READ_FIXED: a code is worth 2^-exponent */
  float range;      /* the magnitude of the largest code; 1 except with READ_CONSTANT */
} plan_matrix;

enum { WEIGHT_FLOAT = 32 }; /* the weight bits of a matrix that is not quantized */

/* The largest code of activations; with 16 bits the largest that two signed bytes can hold. */
static inline uint32_t plan_largest_code(uint32_t bits) {
  return bits == 16 ? 127 * 256 + 127 : (1u << (bits - 1)) - 1;
}

/* Groups of a row. */
static inline uint32_t plan_groups(const plan_matrix *m) {
  return m->group ? (m->columns + m->group - 1) / m->group : 1;
}
/* One code of a quantized matrix. */
static inline int32_t plan_code(const plan_matrix *m, size_t row, uint32_t column) {
  const size_t at = row * m->columns + column;
  if (m->weight_bits == 16) return ((const int16_t *)m->codes)[at];
  if (m->weight_bits == 8) return ((const int8_t *)m->codes)[at];
  const uint8_t pair = ((const uint8_t *)m->codes)[row * ((m->columns + 1) / 2) + column / 2];
  const int32_t half = column % 2 ? pair >> 4 : pair & 15;
  return half < 8 ? half : half - 16;
}

/* Operation k reads earlier values and makes value k + 1; value 0 is the input of the model. */
typedef struct plan_op {
  uint32_t kind, function;
  uint32_t inputs[PLAN_INPUTS];
  uint32_t counts[PLAN_NUMBERS];
  float numbers[PLAN_NUMBERS];
  plan_matrix matrices[PLAN_MATRICES];
  const float *vectors[PLAN_VECTORS];
  const float *initial[PLAN_STATES]; /* what its state vectors start from; NULL: zeros */
} plan_op;

/* The counts of an operation that reads ids: rows of its table, columns, and the feature that holds the id. */
enum { ID_ROWS, ID_COLUMNS, ID_FEATURE };

typedef struct plan_header {
  uint32_t ops, outputs, input_width;
  uint32_t input_ids; /* 1: the input is ids; 0: features */
  uint64_t bytes;
  uint32_t block, lookahead, limit; /* the grid of the backward cells; see clocks.h */
  const uint8_t *hash;              /* HASH_BYTES of them */
  const uint8_t *op_records, *output_records;
  const uint8_t *arrays; /* what their offsets start at: the plan, or its copy in this machine's byte order */
} plan_header;

#ifdef __cplusplus
extern "C" {
#endif
plan_header plan_read_header(const void *plan);
/* In a plan that is not checked yet, pointers outside of the plan are NULL. */
plan_op plan_read_op(const plan_header *header, uint32_t op);
uint32_t plan_read_output(const plan_header *header, uint32_t output);
#ifdef __cplusplus
}
#endif

/* Whether arrays can be read in place: the machine is little-endian. Otherwise models hold a copy of the plan. */
int plan_order_is_native(void);

/* What a value looks like: features per row; whether it has a row for each frame or one per push; whether it is ids,
 * which only a lookup may read; and when its rows come. */
typedef struct plan_shape {
  uint32_t width;
  int timed;
  int ids;
  uint32_t clock;
} plan_shape;

/* Whether this thread rounds to nearest, as the bits of answers need. A host may have changed the mode of its thread.
 */
#ifdef TIDE_WITHOUT_floats
static inline int tide_rounds_to_nearest(void) { return 1; } /* integers do not round by the mode of a thread */
#else
int tide_rounds_to_nearest(void);
#endif

#endif
