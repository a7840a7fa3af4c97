// Streams frames through a model, and prints the answers of each frame. Fill `frame` with what your sensor measures.
#include <model.h>
#include <tidegate.h>

alignas(TIDE_ALIGNMENT) static unsigned char model_memory[MODEL_MEMORY], stream_memory[MODEL_STREAM_MEMORY];
static float frame[MODEL_FEATURES], answers[MODEL_ANSWERS], *outputs[MODEL_OUTPUTS];
static tide_stream *stream;

void setup() {
  Serial.begin(115200);
  tide_fault fault;
  if (tide_plan_check(model_plan, model_plan_bytes, &fault) != TIDE_OK) return;
  const tide_variant *variant = tide_variant_best();
  if (tide_model_bytes(model_plan, variant) > sizeof model_memory) return;
  const tide_model *model = tide_model_init(model_memory, model_plan, variant);
  if (tide_stream_bytes(model) > sizeof stream_memory) return;
  float *next = answers;
  for (uint32_t i = 0; i < MODEL_OUTPUTS; next += tide_output_width(model, i++)) outputs[i] = next;
  stream = tide_stream_init(stream_memory, model);
}

void loop() {
  if (!stream || tide_push(stream, frame, 1, outputs) != TIDE_OK) {
    Serial.println("the model or the frame was refused");
    delay(1000);
    return;
  }
  for (float answer : answers) {
    Serial.print(answer, 6);
    Serial.print(' ');
  }
  Serial.println();
}
