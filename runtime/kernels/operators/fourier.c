/* The spectrum of a frame of real samples: real parts of the bins, then imaginary parts. The samples become half as
 * many complex numbers, which go through stages of radix 4, 5, 3 and 2. */
#include <string.h>

#include "../src/operators.h"
#include "../src/over_features.h"

enum { WINDOW, ROOTS };
enum { LENGTH, START };

/* Four complex numbers. */
typedef struct number {
  tide_half real, imaginary;
} number;

/* Complex numbers: all real parts, then all imaginary parts. */
typedef struct numbers {
  float *real, *imaginary;
} numbers;

/* A stage: [radix, left, done] becomes [left, radix, done]. */
typedef struct stage {
  const float *cosines, *sines; /* of the roots */
  size_t radix, left, done;
} stage;

static inline number add(number a, number b) { return (number){a.real + b.real, a.imaginary + b.imaginary}; }
static inline number sub(number a, number b) { return (number){a.real - b.real, a.imaginary - b.imaginary}; }
static inline number scaled(float factor, number a) { return (number){factor * a.real, factor * a.imaginary}; }
static inline number turned(number a) { return (number){a.imaginary, -a.real}; } /* times -i */

/* Tiny values become +0; NaN stays, unlike in `tide_flush_half`. */
static inline tide_half flushed(tide_half x) {
  typedef int32_t bits __attribute__((vector_size(sizeof(tide_half))));
  const bits tiny = (tide_half)((bits)x & INT32_MAX) < 0x1p-60f; /* all ones or all zeros */
  return (tide_half)((bits)x & ~tiny);
}

static inline void butterfly_2(number *z) {
  const number a = z[0], b = z[1];
  z[0] = add(a, b), z[1] = sub(a, b);
}

static inline void butterfly_3(number *z) {
  const number both = add(z[1], z[2]), u = sub(z[0], scaled(0.5f, both));
  const number v = turned(scaled(0x1.bb67aep-1f, sub(z[1], z[2])));
  z[0] = add(z[0], both), z[1] = add(u, v), z[2] = sub(u, v);
}

static inline void butterfly_4(number *z) {
  const number even = add(z[0], z[2]), odd = add(z[1], z[3]), u = sub(z[0], z[2]), v = turned(sub(z[1], z[3]));
  z[0] = add(even, odd), z[1] = add(u, v), z[2] = sub(even, odd), z[3] = sub(u, v);
}

static inline void butterfly_5(number *z) {
  const float cosine = 0x1.3c6ef4p-2f, cosine_2 = -0x1.9e377ap-1f, sine = 0x1.e6f0e2p-1f, sine_2 = 0x1.2cf23p-1f;
  const number outer = add(z[1], z[4]), inner = add(z[2], z[3]), apart = sub(z[1], z[4]), between = sub(z[2], z[3]);
  const number u = add(add(z[0], scaled(cosine, outer)), scaled(cosine_2, inner));
  const number v = turned(add(scaled(sine, apart), scaled(sine_2, between)));
  const number r = add(add(z[0], scaled(cosine_2, outer)), scaled(cosine, inner));
  const number s = turned(sub(scaled(sine_2, apart), scaled(sine, between)));
  z[0] = add(z[0], add(outer, inner)), z[1] = add(u, v), z[2] = add(r, s), z[3] = sub(r, s), z[4] = sub(u, v);
}

/* Multiplies four numbers with their roots and stores them. Number i of a stage is q of part p: i = p * done + q. */
static inline void store(const stage *s, size_t j, size_t p, size_t q, size_t count, number z, numbers out) {
  tide_half cosine, sine;
  size_t at[HALF];
  for (size_t i = 0; i < HALF; i++, q++) {
    if (q == s->done) q = 0, p++;
    const size_t turn = i < count ? 2 * s->done * p * j : 0;
    cosine[i] = s->cosines[turn], sine[i] = s->sines[turn], at[i] = (p * s->radix + j) * s->done + q;
  }
  const tide_half real = flushed(z.real * cosine - z.imaginary * sine);
  const tide_half imaginary = flushed(z.real * sine + z.imaginary * cosine);
  for (size_t i = 0; i < count; i++) out.real[at[i]] = real[i], out.imaginary[at[i]] = imaginary[i];
}

static inline void store_together(const stage *s, size_t j, size_t p, size_t q, number z, numbers out) {
  const float cosine = s->cosines[2 * s->done * p * j], sine = s->sines[2 * s->done * p * j];
  const tide_half real = flushed(z.real * cosine - z.imaginary * sine);
  const tide_half imaginary = flushed(z.real * sine + z.imaginary * cosine);
  memcpy(out.real + (p * s->radix + j) * s->done + q, &real, sizeof real);
  memcpy(out.imaginary + (p * s->radix + j) * s->done + q, &imaginary, sizeof imaginary);
}

TIDE_INLINE void run_stage(const stage *s, const size_t radix, void (*butterfly)(number *), numbers in, numbers out) {
  const size_t count = s->left * s->done;
  for (size_t i = 0, p = 0, q = 0; i < count; i += HALF) {
    number z[5];
    for (size_t k = 0; k < radix; k++) {
      memcpy(&z[k].real, in.real + k * count + i, sizeof z[k].real);
      memcpy(&z[k].imaginary, in.imaginary + k * count + i, sizeof z[k].imaginary);
    }
    butterfly(z);
    if (q + HALF <= s->done)
      for (size_t j = 0; j < radix; j++) store_together(s, j, p, q, z[j], out);
    else
      for (size_t j = 0; j < radix; j++) store(s, j, p, q, count - i < HALF ? count - i : HALF, z[j], out);
    for (q += HALF; q >= s->done; q -= s->done) p++;
  }
}

static TIDE_APART void stage_2(const stage *s, numbers in, numbers out) { run_stage(s, 2, butterfly_2, in, out); }
static TIDE_APART void stage_3(const stage *s, numbers in, numbers out) { run_stage(s, 3, butterfly_3, in, out); }
static TIDE_APART void stage_4(const stage *s, numbers in, numbers out) { run_stage(s, 4, butterfly_4, in, out); }
static TIDE_APART void stage_5(const stage *s, numbers in, numbers out) { run_stage(s, 5, butterfly_5, in, out); }

/* The radix of the next stage of so many points; 0: a prime above 5 divides them. 4 comes first: then the numbers of
 * all later stages lie together by fours. */
static uint32_t radix_of(uint32_t points) {
  static const uint32_t RADICES[] = {4, 5, 3, 2};
  for (int i = 0; i < 4; i++)
    if (points % RADICES[i] == 0) return RADICES[i];
  return 0;
}

static int stages_ok(const plan_check *c, uint32_t points) {
  for (uint32_t radix; points > 1; points /= radix) {
    radix = radix_of(points);
    if (!radix) return plan_refuse(c, "prime factor of the length", points, 5);
  }
  return 1;
}

/* Roots are 0 or 2^-24 to 1 in magnitude, so that no product or sum of a stage is subnormal. */
static int roots_ok(const plan_check *c, uint32_t length) {
  if (!plan_vector_ok(c, ROOTS, "roots", 2 * (uint64_t)length, 1)) return 0;
  for (uint32_t i = 0; i < 2 * length; i++)
    if (!plan_magnitude_ok(c, "root", plan_bits_at(c->op.vectors[ROOTS], i), 1, -24, 0)) return 0;
  return 1;
}

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  plan_shape out = in[0];
  out.width = op->counts[LENGTH] + 2;
  return out;
}

static int check(const plan_check *c) {
  const uint32_t length = c->op.counts[LENGTH], width = c->in[0].width;
  return plan_within(c, "length", length, 2, PLAN_MAX_WIDTH) && plan_equal(c, "half sample", length % 2, 0) &&
         stages_ok(c, length / 2) && plan_within(c, "samples", width, 1, length) &&
         plan_within(c, "start", c->op.counts[START], 0, length - width) &&
         plan_vector_ok(c, WINDOW, "window", width, 1) && roots_ok(c, length);
}

/* Memory for the numbers of a frame: one more than there are for `take_apart`, and a read by fours may go beyond. */
static size_t room_of(uint32_t points) { return points + HALF; }

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  (void)arena, (void)variant;
  op->gathered = (uint32_t)(4 * room_of(source->counts[LENGTH] / 2));
}

static numbers numbers_of(float *memory, uint32_t points) { return (numbers){memory, memory + room_of(points)}; }

/* Sample 2k is the real part of number k, sample 2k + 1 its imaginary part. */
static void load(const model_op *op, const float *restrict x, size_t points, float *restrict samples, numbers z) {
  const size_t start = op->counts[START], width = op->in_widths[0];
  const float *window = op->vectors[WINDOW];
  memset(samples, 0, 2 * points * sizeof *samples);
  for (size_t i = 0; i < width; i++) samples[start + i] = tide_flush(tide_flush(x[i]) * window[i]);
  for (size_t k = 0; k < points; k++) z.real[k] = samples[2 * k], z.imaginary[k] = samples[2 * k + 1];
}

/* The spectrum of the samples, from that of pairs of samples as complex numbers. */
static void take_apart(const float *cosines, const float *sines, size_t points, numbers z, float *restrict out) {
  z.real[points] = z.real[0], z.imaginary[points] = z.imaginary[0];
  for (size_t k = 0; k <= points; k++) {
    const float a = z.real[k], b = z.imaginary[k], c = z.real[points - k], d = z.imaginary[points - k];
    const float even = 0.5f * (a + c), even_i = 0.5f * (b - d), odd = 0.5f * (b + d), odd_i = 0.5f * (c - a);
    out[k] = tide_flush(even + (odd * cosines[k] - odd_i * sines[k]));
    out[points + 1 + k] = tide_flush(even_i + (odd * sines[k] + odd_i * cosines[k]));
  }
}

static void transform(const model_op *op, const float *x, float *memory, float *out) {
  static void (*const STAGES[])(const stage *, numbers, numbers) = {stage_2, stage_3, stage_4, stage_5};
  const uint32_t points = op->counts[LENGTH] / 2;
  const float *cosines = op->vectors[ROOTS], *sines = cosines + 2 * points;
  numbers z = numbers_of(memory, points), next = numbers_of(memory + 2 * room_of(points), points);
  load(op, x, points, next.real, z);
  for (uint32_t done = 1, radix; done < points; done *= radix) {
    radix = radix_of(points / done);
    const stage s = {cosines, sines, radix, points / done / radix, done};
    STAGES[radix - 2](&s, z, next);
    const numbers last = z;
    z = next, next = last;
  }
  take_apart(cosines, sines, points, z, out);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  for (size_t t = 0; t < frames; t++) {
    transform(op, in[0] + t * op->in_widths[0], scratch->gathered, out + t * op->width);
  }
  return scratch->variant->in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_fourier = {
    .name = "fourier", .inputs = 1, .shape = shape, .check = check, .prepare = prepare, .run = run};
