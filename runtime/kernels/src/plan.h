/* The plan: a flat little-endian blob, checked once and read in place. docs/plan.md is its specification. */
#ifndef TIDE_PLAN_H
#define TIDE_PLAN_H

#include "tidegate.h"

enum {
  PLAN_VERSION = 1,
  PLAN_HEADER_BYTES = 128,
  PLAN_OP_BYTES = 128,
  PLAN_MAX_OPS = 1024,
  PLAN_MAX_WIDTH = 16384,
};

typedef enum plan_kind { OP_LSTM = 1, OP_LINEAR = 2, OP_ELEMENTWISE = 3, OP_LAST = 4 } plan_kind;
typedef enum plan_function { FN_ADD = 1, FN_SUB = 2, FN_MUL = 3, FN_DIV = 4 } plan_function;
/* How floats become integers: by each frame's own maximum, or as hidden values in (-1, 1). */
typedef enum plan_reading { READ_FRAME = 1, READ_HIDDEN = 2 } plan_reading;

typedef struct plan_matrix {
  const int8_t *codes; /* [rows, columns] */
  const float *scales; /* [rows] */
  uint32_t rows, columns;
  plan_reading reading;
  uint32_t bits; /* of the activations */
} plan_matrix;

/* Operation k reads value `input` and makes value k + 1; value 0 is the input of the model. */
typedef struct plan_op {
  plan_kind kind;
  uint32_t input;
  plan_function function;
  plan_matrix w, r;
  const float *vector; /* bias [rows], or the constant of an elementwise operation [width] */
} plan_op;

typedef struct plan_header {
  uint32_t ops, outputs, input_width;
  const uint8_t *op_records, *output_records;
} plan_header;

plan_header plan_read_header(const void *plan);
plan_op plan_read_op(const void *plan, const plan_header *header, uint32_t op);
uint32_t plan_read_output(const plan_header *header, uint32_t output);

#endif
