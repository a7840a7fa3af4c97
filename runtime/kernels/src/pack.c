#include <string.h>

#include "kernels.h"

typedef struct packing {
  const plan_matrix *m;
  const tide_variant *variant;
  tide_role role;
  const tide_matrix *packed;
} packing;

static uint32_t ceil_div(uint32_t n, uint32_t d) { return (n + d - 1) / d; }

static tide_format format_of(const plan_matrix *m) {
  const int grouped = plan_groups(m) > 1;
  if (m->weight_bits == 4) return grouped ? FORMAT_INT4_GROUPS : FORMAT_INT4;
  if (m->weight_bits == 8) return grouped ? FORMAT_INT8_GROUPS : FORMAT_INT8;
  if (m->weight_bits == 16) return grouped ? FORMAT_INT16_GROUPS : FORMAT_INT16;
  return FORMAT_FLOAT;
}

static int is_nibbles(tide_format format) { return format == FORMAT_INT4 || format == FORMAT_INT4_GROUPS; }

/* Inputs of a step. */
static uint32_t depth_of(tide_format format, const tide_variant *variant) {
  return format <= FORMAT_INT4_GROUPS ? variant->depth : format == FORMAT_FLOAT ? 1 : 2;
}

/* ---- codes ---- */

/* The row of the plan's matrix that lies at a vector and lane of a panel, or -1 for padding. */
static int64_t source_row(const packing *p, uint32_t first, uint32_t width, uint32_t vector, uint32_t lane) {
  const uint32_t lanes = p->variant->lanes, gates = p->packed->gates, units = p->m->rows / gates;
  const uint32_t vectors_a_gate = width / gates; /* of this panel */
  const uint32_t gate = vector / vectors_a_gate;
  const uint32_t unit = (first / gates + vector % vectors_a_gate) * lanes + lane;
  return unit < units ? (int64_t)gate * units + unit : -1;
}

static int32_t code_at(const plan_matrix *m, int64_t row, uint32_t column) {
  return row < 0 || column >= m->columns ? 0 : plan_code(m, (size_t)row, column);
}

static int8_t *put(int8_t *out, const void *value, size_t bytes) {
  memcpy(out, value, bytes);
  return out + bytes;
}

/* The inputs of one row in a step, or for 4 bits in two: codes 8 too large, the later step's in the high half. */
static int8_t *pack_inputs(const packing *p, int64_t row, uint32_t step, int8_t *out) {
  const plan_matrix *m = p->m;
  const tide_format format = p->packed->format;
  const uint32_t depth = depth_of(format, p->variant);
  for (uint32_t column = step * depth; column < (step + 1) * depth; column++) {
    const int32_t code = format == FORMAT_FLOAT ? 0 : code_at(m, row, column);
    if (format == FORMAT_FLOAT) {
      const float weight = row < 0 ? 0.0f : ((const float *)m->codes)[(size_t)row * m->columns + column];
      out = put(out, &weight, sizeof weight);
    } else if (m->weight_bits == 16) {
      out = put(out, &(int16_t){(int16_t)code}, sizeof(int16_t));
    } else if (m->weight_bits == 8) {
      *out++ = (int8_t)(code + p->packed->centre);
    } else {
      *out++ = (int8_t)(code + 8 + 16 * (code_at(m, row, column + depth) + 8));
    }
  }
  return out;
}

static int8_t *pack_step(const packing *p, uint32_t first, uint32_t width, uint32_t step, int8_t *out) {
  for (uint32_t i = 0; i < width * p->variant->lanes; i++) {
    const int64_t row = source_row(p, first, width, i / p->variant->lanes, i % p->variant->lanes);
    out = pack_inputs(p, row, step, out);
  }
  return out;
}

static int8_t *pack_group_scales(const packing *p, uint32_t first, uint32_t width, uint32_t group, int8_t *out) {
  for (uint32_t i = 0; i < width * p->variant->lanes; i++) {
    const int64_t row = source_row(p, first, width, i / p->variant->lanes, i % p->variant->lanes);
    const float scale = row < 0 ? 1.0f : p->m->scales[(size_t)row * p->packed->groups + group];
    out = put(out, &scale, sizeof scale);
  }
  return out;
}

static int8_t *pack_panel(const packing *p, uint32_t first, uint32_t width, int8_t *out) {
  const tide_matrix *packed = p->packed;
  const uint32_t stride = is_nibbles(packed->format) ? 2 : 1;
  for (uint32_t step = 0; step < packed->steps; step += stride) {
    out = pack_step(p, first, width, step, out);
    const uint32_t done = step + stride;
    if (packed->groups > 1 && (done % packed->group_steps == 0 || done == packed->steps)) {
      out = pack_group_scales(p, first, width, step / packed->group_steps, out);
    }
  }
  return out;
}

/* ---- what belongs to rows ---- */

/* The bias of a row; that of a recurrent matrix covers the last gate alone. */
static float bias_of(const packing *p, const float *bias, int64_t row) {
  const int64_t from = p->role == READS_OWN_H ? p->m->rows - p->m->rows / p->packed->gates : 0;
  return row < from || row < 0 || !bias ? 0.0f : bias[row - from];
}

/* Other scales are known only with the codes: from the frame, or from the layer below. */
static float code_scale_of(const tide_matrix *packed, tide_role role) {
  const int fixed = role == READS_OWN_H && packed->reading == READ_HIDDEN && packed->format != FORMAT_FLOAT;
  return fixed ? 1.0f / packed->q : 1.0f;
}

static void pack_rows(const packing *p, const float *bias) {
  const tide_matrix *packed = p->packed;
  int8_t *panels = (int8_t *)packed->panels;
  float *scales = (float *)packed->scales, *biases = (float *)packed->bias;
  const int by_rows = packed->groups == 1 && packed->format != FORMAT_FLOAT;
  for (uint32_t first = 0, width; first < packed->vectors; first += width) {
    width = tide_panel_width(p->variant->panel, packed->gates, packed->vectors - first);
    panels = pack_panel(p, first, width, panels);
    for (uint32_t i = 0; i < width * p->variant->lanes; i++) {
      const int64_t row = source_row(p, first, width, i / p->variant->lanes, i % p->variant->lanes);
      const uint32_t at = first * p->variant->lanes + i;
      scales[at] = row < 0 ? 1.0f : packed->code_scale * (by_rows ? p->m->scales[row] : 1.0f);
      if (biases) biases[at] = bias_of(p, bias, row);
    }
  }
}

/* ---- sizes ---- */

/* The codes' planes or values, and behind them what sums start from. */
static void lay_codes(tide_matrix *packed, const tide_variant *variant, uint32_t depth) {
  const size_t values = tide_round_up((size_t)packed->steps * depth, variant->lanes);
  const size_t size = packed->format == FORMAT_FLOAT ? sizeof(float) : 2; /* two planes, or int16 */
  packed->starts = (uint32_t)tide_round_up(values * size, sizeof(int32_t));
  const size_t starts = 2 * sizeof(int32_t) * packed->groups;
  packed->code_bytes = (uint32_t)tide_round_up(packed->starts + starts, TIDE_ALIGNMENT);
}

static void lay_steps(tide_matrix *packed, const plan_matrix *m, const tide_variant *variant) {
  const uint32_t depth = depth_of(packed->format, variant);
  packed->steps = ceil_div(m->columns, depth);
  if (is_nibbles(packed->format)) packed->steps = (uint32_t)tide_round_up(packed->steps, 2);
  packed->groups = plan_groups(m);
  packed->group_steps = packed->groups > 1 ? m->group / depth : packed->steps;
  const size_t group_scales = packed->groups > 1 ? packed->groups * sizeof(float) : 0;
  packed->vector_bytes = variant->lanes * ((size_t)packed->steps * depth * m->weight_bits / 8 + group_scales);
  lay_codes(packed, variant, depth);
}

/* The plan's rows as they lie, each in whole bytes. */
static tide_matrix in_place(tide_matrix rows, const plan_matrix *m, const float *bias) {
  rows.vectors = m->rows, rows.group_steps = m->group;
  rows.vector_bytes = ((size_t)m->columns * m->weight_bits + 7) / 8;
  rows.panels = m->codes, rows.scales = m->scales, rows.bias = bias;
  return rows;
}

tide_matrix tide_pack(tide_arena *arena, const plan_matrix *m, const float *bias, uint32_t gates, tide_role role,
                      const tide_variant *variant) {
  tide_matrix packed = {
      .format = format_of(m),
      .gates = gates,
      .rows = m->rows,
      .columns = m->columns,
      .vectors = ceil_div(m->rows / gates, variant->lanes) * gates,
      .planes = m->bits <= 8 ? 1 : 2,
      .reading = m->reading,
      .q = (float)plan_largest_code(m->bits),
      .centre = m->weight_bits == 4   ? variant->centre4
                : m->weight_bits == 8 ? variant->centre8
                                      : 0,
  };
  packed.code_scale = code_scale_of(&packed, role);
  lay_steps(&packed, m, variant);
  if (variant->in_place) return in_place(packed, m, bias);
  const size_t rows = (size_t)packed.vectors * variant->lanes;
  packed.panels = tide_take(arena, packed.vectors * packed.vector_bytes);
  packed.scales = tide_take(arena, rows * sizeof(float));
  packed.bias = bias || role == READS_INPUT ? tide_take(arena, rows * sizeof(float)) : NULL;
  const packing p = {m, variant, role, &packed};
  if (arena->base) pack_rows(&p, bias);
  return packed;
}
