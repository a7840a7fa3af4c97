/* The offsets of a plan's fields: docs/plan.md in C. */
#ifndef TIDE_PLAN_FIELDS_H
#define TIDE_PLAN_FIELDS_H

/* Fields of the header. */
enum {
  AT_VERSION = 8,
  AT_FLAGS = 12,
  AT_HASH = 16,
  AT_SIZE = 48, /* the hash covers all bytes from here on */
  AT_OPERATIONS = 56,
  AT_OUTPUTS = 60,
  AT_INPUT_WIDTH = 64,
  AT_INPUT_KIND = 68,
  AT_OPERATION_TABLE = 72,
  AT_OUTPUT_TABLE = 80,
  AT_TEXT = 88,
  AT_TEXT_SIZE = 96,
  AT_BLOCK = 104,
  AT_LOOKAHEAD = 108,
  AT_LIMIT = 112,
  AT_SHAPES = 116,
};

/* Fields of an operation's record. */
enum {
  AT_KIND = 0,
  AT_FUNCTION = 4,
  AT_INPUTS = 8,
  AT_COUNTS = 16,
  AT_NUMBERS = 32,
  AT_MATRICES = 48,
  MATRIX_BYTES = 48,
  AT_VECTORS = 192,
  AT_INITIAL = 208,
};

#endif
