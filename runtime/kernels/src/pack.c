#include <string.h>

#include "kernels.h"

typedef struct packing {
  const plan_matrix *m;
  const tide_variant *variant;
  tide_role role;
  uint32_t gates, vectors, groups;
} packing;

static uint32_t ceil_div(uint32_t n, uint32_t d) { return (n + d - 1) / d; }

/* The row of the plan's matrix that lies at a vector and lane of a panel, or -1 for padding. */
static int64_t source_row(const packing *p, uint32_t first, uint32_t width, uint32_t vector, uint32_t lane) {
  const uint32_t lanes = p->variant->lanes, units = p->m->rows / p->gates;
  const uint32_t vectors_a_gate = width / p->gates; /* of this panel */
  const uint32_t gate = vector / vectors_a_gate;
  const uint32_t unit = (first / p->gates + vector % vectors_a_gate) * lanes + lane;
  return unit < units ? (int64_t)gate * units + unit : -1;
}

static int8_t code_at(const plan_matrix *m, int64_t row, uint32_t column) {
  return row < 0 || column >= m->columns ? 0 : (int8_t)plan_code(m, (size_t)row, column);
}

static int8_t *pack_panel(const packing *p, uint32_t first, uint32_t width, int8_t *out) {
  for (uint32_t group = 0; group < p->groups; group++) {
    for (uint32_t vector = 0; vector < width; vector++) {
      for (uint32_t lane = 0; lane < p->variant->lanes; lane++) {
        const int64_t row = source_row(p, first, width, vector, lane);
        for (uint32_t d = 0; d < p->variant->depth; d++) *out++ = code_at(p->m, row, group * p->variant->depth + d);
      }
    }
  }
  return out;
}

/* The sum of (code + offset) * weight is offset * (sum of weights) too large; all sums are modulo 2^32. */
static int32_t start_of(const plan_matrix *m, int64_t row, int32_t offset) {
  int64_t sum = 0;
  for (uint32_t k = 0; k < m->columns; k++) sum += code_at(m, row, k);
  const uint32_t start = (uint32_t)(-offset * sum);
  int32_t value;
  memcpy(&value, &start, sizeof value);
  return value;
}

/* The bias of a row; that of a recurrent matrix covers the last gate alone. */
static float bias_of(const packing *p, const float *bias, int64_t row) {
  const int64_t from = p->role == READS_OWN_H ? p->m->rows - p->m->rows / p->gates : 0;
  return row < from || row < 0 ? 0.0f : bias[row - from];
}

static void pack_rows(const packing *p, const tide_matrix *packed, const float *bias) {
  int8_t *panels = (int8_t *)packed->panels;
  int32_t *start = (int32_t *)packed->start;
  float *scales = (float *)packed->scales, *biases = (float *)packed->bias;
  const int32_t offset = p->variant->code_offset[packed->planes - 1];
  /* Other scales are known only with the codes: from the frame, or from the layer below. */
  const int fixed = p->role == READS_OWN_H && p->m->reading == READ_HIDDEN;
  const float code_scale = fixed ? 1.0f / packed->q : 1.0f;
  for (uint32_t first = 0, width; first < p->vectors; first += width) {
    width = tide_panel_width(p->variant->panel, p->gates, p->vectors - first);
    panels = pack_panel(p, first, width, panels);
    for (uint32_t i = 0; i < width * p->variant->lanes; i++) {
      const int64_t row = source_row(p, first, width, i / p->variant->lanes, i % p->variant->lanes);
      const uint32_t at = first * p->variant->lanes + i;
      start[at] = start_of(p->m, row, offset);
      scales[at] = row < 0 ? 1.0f : code_scale * p->m->scales[row];
      if (biases) biases[at] = bias_of(p, bias, row);
    }
  }
}

tide_matrix tide_pack(tide_arena *arena, const plan_matrix *m, const float *bias, uint32_t gates, tide_role role,
                      const tide_variant *variant) {
  const uint32_t vectors = ceil_div(m->rows / gates, variant->lanes) * gates;
  const packing p = {m, variant, role, gates, vectors, ceil_div(m->columns, variant->depth)};
  const size_t rows = (size_t)vectors * variant->lanes, depth = (size_t)p.groups * variant->depth;
  tide_matrix packed = {
      .panels = tide_take(arena, rows * depth),
      .start = tide_take(arena, rows * sizeof(int32_t)),
      .scales = tide_take(arena, rows * sizeof(float)),
      .bias = bias ? tide_take(arena, rows * sizeof(float)) : NULL,
      .gates = gates,
      .rows = m->rows,
      .columns = m->columns,
      .vectors = vectors,
      .groups = p.groups,
      .code_bytes = (uint32_t)tide_round_up(2 * tide_round_up(depth, variant->lanes), TIDE_ALIGNMENT),
      .planes = m->bits <= 8 ? 1 : 2,
      .reading = m->reading,
      .q = (float)((1 << (m->bits - 1)) - 1),
  };
  if (arena->base) pack_rows(&p, &packed, bias);
  return packed;
}
