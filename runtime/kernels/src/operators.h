/* What an operation is: how a plan's record of it is checked, prepared and run. */
#ifndef TIDE_OPERATORS_H
#define TIDE_OPERATORS_H

#include "check.h"
#include "kernels.h"

enum { MOST_BLOCK = 16 }; /* the largest `block` of a variant */

typedef struct tide_operator tide_operator;

/* An operation of a model, ready to run. */
typedef struct model_op {
  const tide_operator *operator;
  uint32_t function;
  uint32_t inputs[PLAN_INPUTS];
  uint32_t counts[PLAN_NUMBERS];
  float numbers[PLAN_NUMBERS];
  const float *vectors[PLAN_VECTORS];
  tide_matrix matrices[PLAN_MATRICES];
  plan_matrix table; /* the first matrix as the plan has it, for one that is not packed */
  uint32_t width;    /* of the value it makes */
  uint32_t in_widths[PLAN_INPUTS];
  int timed;      /* whether that has a row for each frame */
  uint32_t clock; /* when its rows come */
  int late;       /* whether they are other rows than those of its input */
  uint32_t room;  /* rows that it may have to hold back */
  uint32_t block; /* most rows that it makes together, of a backward cell */
  uint32_t lookahead;
  int whole; /* that block is the whole stream */
} model_op;

/* Rows of an input that wait for later ones, the first at `rows + first * width`. */
typedef struct op_held {
  float *rows;
  uint32_t first, count;
} op_held;

/* What an operation carries from push to push: floats, which are the state, and bytes that follow from them. */
typedef struct op_state {
  float *floats;
  uint8_t *bytes;
  /* No part of the state: which half of the bytes is current, and the value of one of its codes where that is not
   * constant, else 1. */
  int turn;
  float scale;
  /* Of an operation whose answers come late. */
  uint64_t read, made; /* rows of its input, and its own, since the stream was new */
  op_held held;
  float *before;        /* what was held before the push; NULL where it stays in place */
  int saved;            /* whether it is there */
  float *block;         /* the rows that it made together, */
  uint32_t done, given; /* how many, and how many of them are out */
} op_state;

/* Rows on their way through an operation whose answers come late. */
typedef struct op_flow {
  const float *in[PLAN_INPUTS];
  uint32_t rows[PLAN_INPUTS]; /* at most the variant's `block` each */
  int closing;                /* they are the last */
  float *out;                 /* room for so many rows */
  uint32_t made;              /* rows written there */
  int more;                   /* others are ready, which had no room */
} op_flow;

typedef struct op_size {
  size_t floats, bytes;
} op_size;

/* Where a state vector that callers see stands in the floats. */
typedef struct op_vector {
  size_t first;
  uint32_t count;
} op_vector;

/* Room that operations share, for the frames of one block; so many as the variant's `block`. */
typedef struct op_scratch {
  const tide_variant *variant;
  uint8_t *codes; /* [block, code bytes of the widest matrix] */
  float *scales;  /* [block] */
  float *rows;    /* [block, packed rows of the largest matrix] */
} op_scratch;

struct tide_operator {
  const char *name;
  uint32_t inputs;  /* values it reads */
  uint32_t vectors; /* state vectors that callers see */
  int ids;          /* it reads ids */
  int bounded;      /* its results cannot leave 2^64 */
  uint32_t holds;   /* which input it may have to hold back, from 1; 0: none */
  /* The shape of the value it makes, from those it reads. */
  plan_shape (*shape)(const plan_op *op, const plan_shape *in);
  /* The clock of its rows. NULL: that of its first input. */
  uint32_t (*clock)(const plan_op *op, const plan_shape *in, tide_clocks *clocks);
  /* Checks the rest of the record; see check.h. */
  int (*check)(const plan_check *c);
  /* Packs matrices into the arena, which may only be counting. NULL: there is nothing to pack. */
  void (*prepare)(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op);
  /* Size of the state. NULL: it carries nothing. */
  op_size (*size)(const model_op *op, const tide_variant *variant);
  /* Makes the bytes of a state from its floats. NULL: there are none. */
  void (*derive)(const model_op *op, const tide_variant *variant, op_state *state);
  /* State vector `index`. NULL: there are none. */
  op_vector (*vector)(const model_op *op, const tide_variant *variant, uint32_t index);
  /* Runs over `frames` rows of its inputs; returns 0 when a result leaves 2^64. */
  int (*run)(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
             float *out);
  /* Runs over `frames` rows of each of several streams, [rows, frames, width], for a bounded operator of one input.
   * NULL: streams go one after the other. */
  void (*run_rows)(const model_op *op, const op_scratch *scratch, op_state *const *states, uint32_t rows,
                   const float *in, uint32_t frames, float *out);
  /* The same where it is late, which takes what rows there are and makes those that are ready. */
  int (*flow)(const model_op *op, const op_scratch *scratch, op_state *state, op_flow *flow);
};

/* The operator of a plan's kind, counted from 1 in the order of operators.inc; NULL beyond, and where it was left out.
 */
const tide_operator *tide_operator_of(uint32_t kind);
uint32_t tide_operator_count(void);

/* The shape of an operation that keeps that of its input. */
static inline plan_shape tide_same_shape(const plan_op *op, const plan_shape *in) {
  (void)op;
  return in[0];
}

/* Rows of a matrix for the frames of a block, to `rows`; returns the stride. */
size_t tide_project(const op_scratch *scratch, const tide_matrix *w, const float *x, uint32_t frames, float *rows);

/* Puts rows behind those that are held. Room is there: see `room`. */
void tide_hold(const model_op *op, op_held *held, uint32_t width, const float *rows, uint32_t count);

#endif
