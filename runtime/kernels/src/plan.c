/* Reads a plan. */
#include "plan.h"

#include <string.h>

#include "bytes.h"
#include "plan_fields.h"

plan_header plan_read_header(const void *plan) {
  const uint8_t *p = plan;
  return (plan_header){
      .ops = u32_at(p + AT_OPERATIONS),
      .outputs = u32_at(p + AT_OUTPUTS),
      .input_width = u32_at(p + AT_INPUT_WIDTH),
      .input_ids = u32_at(p + AT_INPUT_KIND),
      .bytes = u64_at(p + AT_SIZE),
      .block = u32_at(p + AT_BLOCK),
      .lookahead = u32_at(p + AT_LOOKAHEAD),
      .limit = u32_at(p + AT_LIMIT),
      .hash = p + AT_HASH,
      .op_records = p + u64_at(p + AT_OPERATION_TABLE),
      .output_records = p + u64_at(p + AT_OUTPUT_TABLE),
      .arrays = p,
  };
}

static const void *place(const plan_header *header, uint64_t offset) {
  return offset < header->bytes ? header->arrays + offset : NULL;
}

static plan_matrix read_matrix(const plan_header *header, const uint8_t *record) {
  return (plan_matrix){
      .codes = place(header, u64_at(record)),
      .scales = place(header, u64_at(record + 8)),
      .rows = u32_at(record + 16),
      .columns = u32_at(record + 20),
      .reading = (plan_reading)u32_at(record + 24),
      .bits = u32_at(record + 28),
      .weight_bits = u32_at(record + 32),
      .group = u32_at(record + 36),
      .exponent = (int32_t)u32_at(record + 40),
      .range = u32_at(record + 24) == READ_CONSTANT ? float_at(record + 44) : 1.0f,
  };
}

plan_op plan_read_op(const plan_header *header, uint32_t op) {
  const uint8_t *record = header->op_records + (size_t)op * PLAN_OP_BYTES;
  plan_op out = {.kind = u32_at(record + AT_KIND), .function = u32_at(record + AT_FUNCTION)};
  for (uint32_t i = 0; i < PLAN_INPUTS; i++) out.inputs[i] = u32_at(record + AT_INPUTS + 4 * i);
  for (uint32_t i = 0; i < PLAN_NUMBERS; i++) {
    out.counts[i] = u32_at(record + AT_COUNTS + 4 * i);
    out.numbers[i] = float_at(record + AT_NUMBERS + 4 * i);
  }
  for (uint32_t i = 0; i < PLAN_MATRICES; i++) {
    out.matrices[i] = read_matrix(header, record + AT_MATRICES + MATRIX_BYTES * i);
  }
  for (uint32_t i = 0; i < PLAN_VECTORS; i++) {
    out.vectors[i] = place(header, u64_at(record + AT_VECTORS + 8 * i));
  }
  for (uint32_t i = 0; i < PLAN_STATES; i++) {
    const uint64_t offset = u64_at(record + AT_INITIAL + 8 * i);
    out.initial[i] = offset ? place(header, offset) : NULL;
  }
  return out;
}

uint32_t plan_read_output(const plan_header *header, uint32_t output) {
  return u32_at(header->output_records + (size_t)output * 4);
}

int plan_order_is_native(void) {
  const uint32_t one = 1;
  uint8_t first;
  memcpy(&first, &one, 1);
  return first == 1;
}

#ifndef TIDE_WITHOUT_floats
int tide_rounds_to_nearest(void) {
  volatile float one = 1.0f, tiny = 0x1p-26f; /* volatile: the processor adds, not the compiler */
  volatile float more = one + tiny, less = one - tiny;
  return more == one && less == one;
}
#endif
