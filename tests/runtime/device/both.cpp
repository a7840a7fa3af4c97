/* Two models in one program, one of them called from C++: prints the answers of each to three frames of halves. */
#include "gain.h"
#include "wake.h"
/* Headers may come twice. */
#include "gain.h"
#include "tidegate.h"

#include <cstdio>

alignas(TIDE_ALIGNMENT) static unsigned char model_memory[2][WAKE_MEMORY + GAIN_MEMORY];
alignas(TIDE_ALIGNMENT) static unsigned char stream_memory[2][WAKE_STREAM_MEMORY + GAIN_STREAM_MEMORY];

static int run(int number, const unsigned char *plan, size_t bytes) {
  tide_fault fault;
  if (tide_plan_check(plan, bytes, &fault) != TIDE_OK) return 1;
  const tide_model *model = tide_model_init(model_memory[number], plan, tide_variant_best());
  tide_stream *stream = tide_stream_init(stream_memory[number], model);
  float frame[WAKE_FEATURES + GAIN_FEATURES], answers[WAKE_ANSWERS + GAIN_ANSWERS], *outputs[] = {answers};
  for (float &value : frame) value = 0.5f;
  for (int t = 0; t < 3; t++) {
    if (tide_push(stream, frame, 1, outputs) != TIDE_OK) return 1;
    for (uint32_t i = 0; i < tide_output_width(model, 0); i++) std::printf("%.9g ", answers[i]);
  }
  std::printf("\n");
  return 0;
}

int main() { return run(0, wake_plan, wake_plan_bytes) || run(1, gain_plan, gain_plan_bytes); }
