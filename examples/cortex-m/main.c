/* Recognizes the exercise from the motion of a wrist, on a Cortex-M: one decision after two seconds, then five per
 * second. The samples, 50 per second, come over semihosting; on a watch they would come from its sensor. */
#include "port.h"
#include "tidegate.h"
#include "watch.h"

enum { FIRST = 99, INTERVAL = 10 };

static const char *const CLASSES[WATCH_ANSWERS] = {"PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"};
static _Alignas(TIDE_ALIGNMENT) unsigned char model_memory[WATCH_MEMORY], stream_memory[WATCH_STREAM_MEMORY];
static float sample[WATCH_FEATURES], logits[WATCH_ANSWERS];

static int refuse(const char *what) {
  port_text(what);
  port_text("\n");
  return 1;
}

static const char *most_likely(void) {
  int best = 0;
  for (int i = 1; i < WATCH_ANSWERS; i++) best = logits[i] > logits[best] ? i : best;
  return CLASSES[best];
}

int main(void) {
  tide_fault fault;
  if (tide_plan_check(watch_plan, watch_plan_bytes, &fault) != TIDE_OK) return refuse(fault.field);
  const tide_variant *variant = tide_variant_best();
  if (tide_model_bytes(watch_plan, variant) > sizeof model_memory) return refuse("model_memory is too small");
  const tide_model *model = tide_model_init(model_memory, watch_plan, variant);
  if (tide_stream_bytes(model) > sizeof stream_memory) return refuse("stream_memory is too small");
  tide_stream *stream = tide_stream_init(stream_memory, model);

  float *outputs[] = {logits};
  for (long at = 0; port_read(sample, sizeof sample) == sizeof sample; at++) {
    if (tide_push(stream, sample, 1, outputs) != TIDE_OK) return refuse("a sample was refused");
    if (at < FIRST || (at - FIRST) % INTERVAL) continue;
    port_number((float)(at + 1) / 50.0f);
    port_text(" s  ");
    port_text(most_likely());
    port_text("\n");
  }
  return 0;
}
