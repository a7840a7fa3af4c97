/* What an operator is: how its record in a plan is checked, prepared and run. */
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
  const float *initial[PLAN_STATES]; /* what its state vectors start from; NULL: zeros */
  tide_matrix matrices[PLAN_MATRICES];
  plan_matrix table;     /* the first matrix as it is in the plan, for operators that do not pack it */
  uint32_t vectors_seen; /* state vectors that callers see */
  uint32_t gathered;     /* floats of its input that it copies side by side at a time */
  uint32_t width;        /* of the value that it makes */
  uint32_t in_widths[PLAN_INPUTS];
  int timed;      /* whether this value has a row for each frame */
  uint32_t clock; /* when its rows come */
  int late;       /* whether its rows come at other times than its input's */
  uint32_t room;  /* rows that it may have to hold back */
  uint32_t block; /* maximal rows that a backward cell makes together */
  uint32_t lookahead;
  int whole; /* whether this block is the whole stream */
} model_op;

/* Rows of an input that wait for later ones, the first at `rows + first * width`. */
typedef struct op_held {
  float *rows;
  uint32_t first, count;
} op_held;

/* What an operation carries from push to push: floats, which are the state, and bytes that are computed from them. */
typedef struct op_state {
  float *floats;
  uint8_t *bytes;
  /* Not part of the state: which half of the bytes is current, and the scale of its codes (1 if it is constant). */
  int turn;
  float scale;
  /* For an operation whose answers come late only. */
  uint64_t read, made; /* rows read and rows made since the stream was new */
  op_held held;
  float *before;        /* a copy of the held rows from before the push; NULL if they stay in place */
  int saved;            /* whether the copy was made */
  float *block;         /* the rows that it made together: */
  uint32_t done, given; /* how many, and how many of these were given out */
} op_state;

/* Rows on their way through an operation whose answers come late. */
typedef struct op_flow {
  const float *in[PLAN_INPUTS];
  uint32_t rows[PLAN_INPUTS]; /* at most the variant's `block` each */
  int closing;                /* whether these rows are the last */
  float *out;                 /* room for `block` rows */
  uint32_t made;              /* rows written to `out` */
  int more;                   /* whether more rows are ready, which had no room */
} op_flow;

typedef struct op_size {
  size_t floats, bytes;
} op_size;

/* The place of a state vector that callers see, within the floats. */
typedef struct op_vector {
  size_t first;
  uint32_t count;
} op_vector;

/* Scratch memory that operations share, for the frames of one block of the variant. */
typedef struct op_scratch {
  const tide_variant *variant;
  uint8_t *codes; /* [block, code bytes of the widest matrix] */
  float *scales;  /* [block] */
  float *rows;    /* [block, packed rows of the largest matrix] */
  float *gathered;
} op_scratch;

struct tide_operator {
  const char *name;
  uint32_t inputs;  /* values it reads */
  uint32_t vectors; /* state vectors that callers see, at most PLAN_STATES */
  /* The same, if it depends on the record. */
  uint32_t (*vectors_of)(const plan_op *op);
  int ids;        /* whether it reads ids */
  int unread;     /* whether it reads no values, only how many rows its input has; ids too */
  int bounded;    /* whether its results cannot leave 2^64 */
  int of_layer;   /* whether it gives c, the second state vector of its input's layer; it has no `run` */
  uint32_t holds; /* the input that it may have to hold back, from 1; 0: none */
  /* The shape of the value that it makes, from the shapes of its inputs. */
  plan_shape (*shape)(const plan_op *op, const plan_shape *in);
  /* The clock of its rows. NULL: its first input's. */
  uint32_t (*clock)(const plan_op *op, const plan_shape *in, tide_clocks *clocks);
  /* Checks the rest of the record; see check.h. */
  int (*check)(const plan_check *c);
  /* Packs matrices into the arena, or only counts their bytes. NULL: there is nothing to pack. */
  void (*prepare)(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op);
  /* Size of the state. NULL: it carries nothing. */
  op_size (*size)(const model_op *op, const tide_variant *variant);
  /* Computes the bytes of a state from its floats. NULL: there are no bytes. */
  void (*derive)(const model_op *op, const tide_variant *variant, op_state *state);
  /* State vector `index`. NULL: there are none. */
  op_vector (*vector)(const model_op *op, const tide_variant *variant, uint32_t index);
  /* Runs over `frames` rows of its inputs; returns 0 if a result leaves 2^64. */
  int (*run)(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
             float *out);
  /* Runs over `frames` rows of each of several streams, [rows, frames, width]; for bounded operators with one input.
   * NULL: streams run one after the other. */
  void (*run_rows)(const model_op *op, const op_scratch *scratch, op_state *const *states, uint32_t rows,
                   const float *in, uint32_t frames, float *out);
  /* As `run`, for an operation whose answers come late: takes the rows that there are and makes the rows that are
   * ready. */
  int (*flow)(const model_op *op, const op_scratch *scratch, op_state *state, op_flow *flow);
};

/* The operator of a plan's kind, counted from 1 in the order of operators.inc. NULL: there is none, or this build
 * leaves it out. */
const tide_operator *tide_operator_of(uint32_t kind);
uint32_t tide_operator_count(void);

/* The `shape` of an operator whose value has its input's shape. */
static inline plan_shape tide_same_shape(const plan_op *op, const plan_shape *in) {
  (void)op;
  return in[0];
}

/* Writes W x of each frame of a block to `rows`; returns the stride from frame to frame. */
size_t tide_project(const op_scratch *scratch, const tide_matrix *w, const float *x, uint32_t frames, float *rows);

/* Appends rows to the held ones. There is room for them: see `room`. */
void tide_hold(const model_op *op, op_held *held, uint32_t width, const float *rows, uint32_t count);

#endif
