#include <string.h>

#include "kernels.h"

/* Whether a variant of this build packs weights. If not, the compiler drops the code that does. */
#ifdef TIDE_WITHOUT_packing
enum { PACKS = 0 };
#else
enum { PACKS = 1 };
#endif

typedef struct packing {
  const plan_matrix *m;
  const tide_variant *variant;
  tide_role role;
  const tide_matrix *packed;
} packing;

static uint32_t ceil_div(uint32_t n, uint32_t d) { return (n + d - 1) / d; }

static tide_format format_of(const plan_matrix *m, tide_role role, const tide_variant *variant) {
  const int grouped = plan_groups(m) > 1, alone = m->columns == 1 && role == READS_INPUT && !variant->in_place;
  if (alone && m->weight_bits != WEIGHT_FLOAT) return FORMAT_COLUMN;
  if (m->weight_bits == 4) return grouped ? FORMAT_INT4_GROUPS : FORMAT_INT4;
  if (m->weight_bits == 8 && !grouped && m->bits > 8 && (uint64_t)m->rows * m->columns <= variant->words)
    return FORMAT_WORDS;
  if (m->weight_bits == 8) return grouped ? FORMAT_INT8_GROUPS : FORMAT_INT8;
  if (m->weight_bits == 16) return grouped ? FORMAT_INT16_GROUPS : FORMAT_INT16;
  return FORMAT_FLOAT;
}

static int is_floats(tide_format format) { return format == FORMAT_FLOAT || format == FORMAT_COLUMN; }

static int is_nibbles(tide_format format) { return format == FORMAT_INT4 || format == FORMAT_INT4_GROUPS; }

/* Inputs per step. */
static uint32_t depth_of(const tide_matrix *packed, const tide_variant *variant) {
  if (packed->format > FORMAT_INT4_GROUPS) return is_floats(packed->format) ? 1 : 2;
  return variant->depths[!is_nibbles(packed->format)][packed->planes - 1];
}

/* Bits of a stored weight. */
static uint32_t stored_bits(tide_format format, const plan_matrix *m, const tide_variant *variant) {
  if (format == FORMAT_COLUMN) return WEIGHT_FLOAT;
  if (format == FORMAT_WORDS) return 16;
  return m->weight_bits == 8 ? 8 * variant->bytes8 : m->weight_bits;
}

/* ---- codes ---- */

/* The row of the plan's matrix for a vector and lane of a panel, or -1 for padding. */
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

/* Bytes of a row in a step; two steps of 4-bit weights share their bytes. */
static uint32_t step_bytes(const packing *p) {
  const uint32_t depth = p->packed->depth;
  if (is_nibbles(p->packed->format)) return depth;
  return depth * stored_bits(p->packed->format, p->m, p->variant) / 8;
}

/* The 8-bit weights of one row as int16. */
static void pack_words(const packing *p, int64_t row, uint32_t step, uint32_t steps, int8_t *out, size_t stride) {
  const uint32_t depth = p->packed->depth;
  for (uint32_t i = 0; i < steps * depth; i++) {
    const int16_t code = (int16_t)code_at(p->m, row, step * depth + i);
    memcpy(out + i / depth * stride + i % depth * sizeof code, &code, sizeof code);
  }
}

/* 4-bit weights are stored 8 too large. */
static void pack_halves(const packing *p, int64_t low, uint32_t low_column, int64_t high, uint32_t high_column,
                        int8_t *out) {
  for (uint32_t k = 0; k < p->packed->depth; k++) {
    *out++ = (int8_t)(code_at(p->m, low, low_column + k) + 8 + 16 * (code_at(p->m, high, high_column + k) + 8));
  }
}

/* Copies `steps` steps of `bytes` bytes each to places `stride` bytes apart. */
static inline void spread(const int8_t *codes, uint32_t steps, uint32_t bytes, int8_t centre, int8_t *out,
                          size_t stride) {
  for (; steps > 0; steps--, codes += bytes, out += stride) {
    for (uint32_t k = 0; k < bytes; k++) out[k] = (int8_t)(codes[k] + centre);
  }
}

/* The weights of one row in steps of whole bytes; after the row's end they are 0. */
static void pack_bytes(const packing *p, int64_t row, uint32_t step, uint32_t steps, int8_t *out, size_t stride) {
  const uint32_t bytes = step_bytes(p);
  const int8_t centre = (int8_t)p->packed->centre, *codes = p->m->codes;
  const size_t row_bytes = (size_t)p->m->columns * p->m->weight_bits / 8, from = (size_t)step * bytes;
  const size_t there = row < 0 || from >= row_bytes ? 0 : row_bytes - from;
  const uint32_t whole = there / bytes < steps ? (uint32_t)(there / bytes) : steps;
  if (there) codes += (size_t)row * row_bytes + from;
  if (bytes == 4) spread(codes, whole, 4, centre, out, stride); /* a third of the time with a known size */
  else spread(codes, whole, bytes, centre, out, stride);
  if (whole == steps) return;
  for (uint32_t i = whole; i < steps; i++) memset(out + i * stride, centre, bytes);
  spread(codes + (size_t)whole * bytes, 1, (uint32_t)(there - (size_t)whole * bytes), centre, out + whole * stride, 0);
}

/* The 4-bit weights of row `i` of a panel of `rows` rows, and where two vectors share bytes those of `other`, the same
 * lane of the vector after it, which writes nothing then. */
static void pack_nibbles(const packing *p, int64_t row, int64_t other, uint32_t i, uint32_t rows, uint32_t step,
                         uint32_t steps, int8_t *panel) {
  const uint32_t lanes = p->variant->lanes, depth = p->packed->depth, vector = i / lanes, width = rows / lanes;
  const int alone = !p->variant->paired || (vector == width - 1 && width % 2);
  if (!alone && vector % 2) return;
  const uint32_t half = (i - vector / 2 * lanes) * depth, later = width / 2 * lanes * depth;
  for (uint32_t k = 0; k < steps; k += 2, panel += rows * depth) {
    const uint32_t column = (step + k) * depth, next = column + depth;
    if (alone) {
      pack_halves(p, row, column, row, next, panel + i * depth);
    } else {
      pack_halves(p, row, column, other, column, panel + half);
      pack_halves(p, row, next, other, next, panel + half + later);
    }
  }
}

/* Row `i` of a panel of `rows` rows. */
static void pack_row(const packing *p, int64_t row, int64_t other, uint32_t i, uint32_t rows, int8_t *panel) {
  const tide_matrix *packed = p->packed;
  if (packed->format == FORMAT_COLUMN) {
    const float one = (float)code_at(p->m, row, 0);
    memcpy(panel + i * sizeof one, &one, sizeof one);
    return;
  }
  const int wide = packed->format == FORMAT_WORDS || (p->m->weight_bits == 8 && p->variant->bytes8 == 2);
  const uint32_t bytes = step_bytes(p), together = is_nibbles(packed->format) ? 2 : 1;
  for (uint32_t group = 0, step = 0; group < packed->groups; group++) {
    const uint32_t left = packed->steps - step, steps = packed->group_steps < left ? packed->group_steps : left;
    if (together == 2) pack_nibbles(p, row, other, i, rows, step, steps, panel);
    else if (wide) pack_words(p, row, step, steps, panel + i * bytes, rows * bytes);
    else pack_bytes(p, row, step, steps, panel + i * bytes, rows * bytes);
    panel += (size_t)(steps / together) * rows * bytes;
    step += steps;
    if (packed->groups == 1) continue;
    const float scale = row < 0 ? 1.0f : p->m->scales[(size_t)row * packed->groups + group];
    memcpy(panel + i * sizeof scale, &scale, sizeof scale);
    panel += rows * sizeof scale;
  }
}

/* ---- what belongs to rows ---- */

/* The bias of a row. A recurrent matrix has one for the last gate only. */
static float bias_of(const packing *p, const float *bias, int64_t row) {
  const int64_t from = p->role == READS_OWN_H ? p->m->rows - p->m->rows / p->packed->gates : 0;
  return row < from || row < 0 || !bias ? 0.0f : bias[row - from];
}

/* 1 if the scale comes with the codes. */
static float code_scale_of(const tide_matrix *packed, tide_role role) {
  const int fixed = role == READS_OWN_H && packed->reading != READ_FRAME && packed->format != FORMAT_FLOAT;
  return fixed ? packed->range / packed->q : 1.0f;
}

static void pack_rows(const packing *p, const float *bias) {
  const tide_matrix *packed = p->packed;
  int8_t *panels = (int8_t *)packed->panels;
  float *scales = (float *)packed->scales, *biases = (float *)packed->bias;
  const int by_rows = packed->groups == 1 && packed->format != FORMAT_FLOAT;
  const uint32_t lanes = p->variant->lanes;
  for (uint32_t first = 0, width; first < packed->vectors; first += width) {
    width = tide_panel_width(p->variant->panel, packed->gates, packed->vectors - first);
    for (uint32_t i = 0; i < width * lanes; i++) {
      const int64_t row = source_row(p, first, width, i / lanes, i % lanes);
      const uint32_t at = first * lanes + i;
      pack_row(p, row, source_row(p, first, width, i / lanes + 1, i % lanes), i, width * lanes, panels);
      scales[at] = row < 0 ? 1.0f : packed->code_scale * (by_rows ? p->m->scales[row] : 1.0f);
      if (biases) biases[at] = bias_of(p, bias, row);
    }
    panels += width * packed->vector_bytes;
  }
}

/* ---- sizes ---- */

/* The codes' planes or values, then the values that sums start from. */
static void lay_codes(tide_matrix *packed, const tide_variant *variant) {
  const size_t values = tide_round_up((size_t)packed->steps * packed->depth, variant->lanes);
  const size_t size = is_floats(packed->format) ? sizeof(float) : 2; /* two planes, or int16 */
  packed->starts = (uint32_t)tide_round_up(values * size, sizeof(int32_t));
  const size_t starts = 2 * sizeof(int32_t) * packed->groups;
  packed->code_bytes = (uint32_t)tide_round_up(packed->starts + starts, TIDE_ALIGNMENT);
}

static void lay_steps(tide_matrix *packed, const plan_matrix *m, const tide_variant *variant) {
  const uint32_t depth = packed->depth = depth_of(packed, variant);
  const uint32_t bits = stored_bits(packed->format, m, variant);
  packed->steps = ceil_div(m->columns, depth);
  if (is_nibbles(packed->format)) packed->steps = (uint32_t)tide_round_up(packed->steps, 2);
  packed->groups = plan_groups(m);
  packed->group_steps = packed->groups > 1 ? m->group / depth : packed->steps;
  const size_t group_scales = packed->groups > 1 ? packed->groups * sizeof(float) : 0;
  packed->vector_bytes = variant->lanes * ((size_t)packed->steps * depth * bits / 8 + group_scales);
  lay_codes(packed, variant);
}

/* The plan's rows in place, each in whole bytes. */
static tide_matrix in_place(tide_matrix rows, const plan_matrix *m, const float *bias) {
  rows.vectors = m->rows, rows.group_steps = m->group;
  rows.vector_bytes = ((size_t)m->columns * m->weight_bits + 7) / 8;
  rows.panels = m->codes, rows.scales = m->scales, rows.bias = bias;
  return rows;
}

tide_matrix tide_pack(tide_arena *arena, const plan_matrix *m, const float *bias, uint32_t gates, tide_role role,
                      const tide_variant *variant) {
  tide_matrix packed = {
      .format = format_of(m, role, variant),
      .gates = gates,
      .rows = m->rows,
      .columns = m->columns,
      .vectors = ceil_div(m->rows / gates, variant->lanes) * gates,
      .planes = m->bits <= 8 ? 1 : 2,
      .reading = m->reading,
      .q = (float)plan_largest_code(m->bits),
      .range = m->range,
      .centre = m->weight_bits == 4   ? variant->centre4
                : m->weight_bits == 8 ? variant->centre8
                                      : 0,
  };
  packed.codes_per_one = packed.q / packed.range;
  packed.code_scale = code_scale_of(&packed, role);
  lay_steps(&packed, m, variant);
  if (!PACKS || variant->in_place) return in_place(packed, m, bias);
  const size_t rows = (size_t)packed.vectors * variant->lanes;
  packed.panels = tide_take(arena, packed.vectors * packed.vector_bytes);
  packed.scales = tide_take(arena, rows * sizeof(float));
  packed.bias = bias || role == READS_INPUT ? tide_take(arena, rows * sizeof(float)) : NULL;
  const packing p = {m, variant, role, &packed};
  if (arena->base) pack_rows(&p, bias);
  return packed;
}
