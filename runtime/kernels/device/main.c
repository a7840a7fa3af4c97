/* Reads frames, which come from port.h, and prints answers, one line per frame. `tidegate compile` writes this file
   again: change a copy, which `make MAIN=mine.c` or `cmake -DMAIN=mine.c` builds. */
#include "model.h"
#include "port.h"
#include "tidegate.h"

static _Alignas(TIDE_ALIGNMENT) unsigned char model_memory[MODEL_MEMORY], stream_memory[MODEL_STREAM_MEMORY];
static float frame[MODEL_FEATURES], answers[MODEL_ANSWERS], *outputs[MODEL_OUTPUTS];

static int refuse(const char *what) {
  port_text(what);
  port_text("\n");
  return 1;
}

int main(void) {
  tide_fault fault;
  if (tide_plan_check(model_plan, model_plan_bytes, &fault) != TIDE_OK) return refuse(fault.field);
  const tide_variant *variant = tide_variant_best();
  if (tide_model_bytes(model_plan, variant) > sizeof model_memory) return refuse("model_memory is too small");
  const tide_model *model = tide_model_init(model_memory, model_plan, variant);
  if (tide_stream_bytes(model) > sizeof stream_memory) return refuse("stream_memory is too small");
  tide_stream *stream = tide_stream_init(stream_memory, model);

  float *next = answers;
  for (uint32_t i = 0; i < MODEL_OUTPUTS; next += tide_output_width(model, i++)) outputs[i] = next;
  while (port_read(frame, sizeof frame) == sizeof frame) {
    if (tide_push(stream, frame, 1, outputs) != TIDE_OK) return refuse("a frame was refused");
    for (const float *value = answers; value < next; value++) port_number(*value);
    port_text("\n");
  }
  return 0;
}
