/* Replaces main.c in a folder of `tidegate compile --target`: streams the frames that it reads, then prints the hash of
 * all answers and states, the instructions and the stack.
 *
 * The input is the name of a variant, 32 bytes padded with zeros, then frames. The hash starts at zeros. For each frame
 * it becomes the hash of the old hash and the frame's answers; at the end the same is done for each state vector.
 * Floats are little-endian. */
#include <string.h>

#include "model.h"
#include "port.h"
#include "tidegate.h"
#include "tidegate/src/bytes.h"
#include "tidegate/src/engine.h"
#include "tidegate/src/hash.h"

enum { BATCH = 16, NAME_BYTES = 32, MOST = 256 };

static _Alignas(TIDE_ALIGNMENT) unsigned char model_memory[MODEL_MEMORY], stream_memory[MODEL_STREAM_MEMORY];
static float frames[BATCH * MODEL_FEATURES], answers[BATCH * MODEL_ANSWERS], *outputs[MODEL_OUTPUTS];
static uint8_t chained[HASH_BYTES + 4 * MOST];

static void print(const char *what, uint64_t value) {
  char text[24], *at = text + sizeof text - 1;
  *at = 0;
  do *--at = (char)('0' + value % 10);
  while (value /= 10);
  port_text(what);
  port_text(at);
  port_text("\n");
}

static int refuse(const char *what) {
  port_text(what);
  port_text("\n");
  return 1;
}

static void chain(const float *values, size_t count) {
  for (size_t i = 0; i < count; i++) put_u32(chained + HASH_BYTES + 4 * i, float_bits(values[i]));
  tide_hash(chained, HASH_BYTES + 4 * count, chained);
}

static void print_hash(void) {
  char text[2 * HASH_BYTES + 1] = {0};
  for (int i = 0; i < 2 * HASH_BYTES; i++) text[i] = "0123456789abcdef"[chained[i / 2] >> (i % 2 ? 0 : 4) & 15];
  port_text("hash ");
  port_text(text);
  port_text("\n");
}

/* ---- instructions and stack of a Cortex-M ---- */

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
extern uint32_t stack_bottom[], stack_top[];

#define SYST_CSR (*(volatile uint32_t *)0xe000e010)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018)
enum { PAINT = 0x5a5a5a5a, LAST_TICK = 0xffffff, LOOPS = 4000000 };

/* SysTick counts down; with qemu's -icount its time is instructions. */
static uint32_t ticks(void) { return LAST_TICK - SYST_CVR; }

static void start_ticks(void) {
  SYST_RVR = LAST_TICK;
  SYST_CVR = 0;
  SYST_CSR = 5;
}

static uint64_t since(uint32_t start) { return (ticks() - start) & LAST_TICK; }

/* Returns the ticks of 2 * LOOPS instructions. */
static uint64_t calibrate(void) {
  uint32_t left = LOOPS;
  const uint32_t start = ticks();
  __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(left) : : "cc");
  return since(start);
}

static void print_instructions(uint64_t spent, uint64_t count) {
  print("instructions ", spent * 2 * LOOPS / calibrate() / count);
}

static void paint(void) {
  uint32_t *used;
  __asm__ volatile("mov %0, sp" : "=r"(used));
  for (volatile uint32_t *at = stack_bottom; at < used; at++) *at = PAINT;
}

static void print_stack(void) {
  const uint32_t *at = stack_bottom;
  while (at < stack_top && *at == PAINT) at++;
  print("stack ", (uint64_t)(stack_top - at) * sizeof *at);
}
#else
static uint32_t ticks(void) { return 0; }
static void start_ticks(void) {}
static uint64_t since(uint32_t start) { return start; }
static void print_instructions(uint64_t spent, uint64_t count) { (void)spent, (void)count; }
static void paint(void) {}
static void print_stack(void) {}
#endif

static const tide_variant *named(const char *name) {
  for (size_t i = 0; tide_variant_at(i); i++) {
    if (strcmp(tide_variant_name(tide_variant_at(i)), name) == 0) return tide_variant_at(i);
  }
  return NULL;
}

static void aim(const tide_model *model, float *at) {
  for (uint32_t i = 0; i < MODEL_OUTPUTS; at += tide_output_width(model, i++)) outputs[i] = at;
}

int main(void) {
  tide_fault fault;
  char name[NAME_BYTES];
  uint64_t spent = 0, count = 0;
  paint();
  port_read(name, sizeof name);
  if (tide_plan_check(model_plan, model_plan_bytes, &fault) != TIDE_OK) return refuse(fault.field);
  const tide_variant *variant = named(name);
  if (!variant || !tide_variant_supported(variant)) return refuse("there is no such variant");
  if (tide_model_bytes(model_plan, variant) > sizeof model_memory) return refuse("model_memory is too small");
  const tide_model *model = tide_model_init(model_memory, model_plan, variant);
  if (tide_stream_bytes(model) > sizeof stream_memory) return refuse("stream_memory is too small");
  tide_stream *stream = tide_stream_init(stream_memory, model);

  start_ticks();
  for (size_t n; (n = port_read(frames, sizeof frames) / sizeof(float) / MODEL_FEATURES) > 0; count += n) {
    const uint32_t start = ticks();
    for (size_t t = 0; t < n; t++) {
      aim(model, answers + t * MODEL_ANSWERS);
      if (tide_push(stream, frames + t * MODEL_FEATURES, 1, outputs) != TIDE_OK) return refuse("a frame was refused");
    }
    spent += since(start);
    for (size_t t = 0; t < n; t++) chain(answers + t * MODEL_ANSWERS, MODEL_ANSWERS);
  }
  for (uint32_t i = 0; i < tide_state_count(model); i++) {
    if (tide_state_width(model, i) > MOST) return refuse("a state is too wide");
    chain(tide_state_at(stream, i), tide_state_width(model, i));
  }
  print_hash();
  print_instructions(spent, count);
  print_stack();
  return 0;
}
