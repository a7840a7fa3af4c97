/* Streams float32 frames from standard input to standard output, one per push, through a plan that is part of the
 * program. All memory is static, for models and streams up to these sizes. */
#include <stdio.h>
#include <tidegate.h>

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
static void take_bytes(void) { _setmode(_fileno(stdin), _O_BINARY), _setmode(_fileno(stdout), _O_BINARY); }
#else
static void take_bytes(void) {}
#endif

extern const unsigned char model_plan[];
extern const size_t model_plan_bytes;

static _Alignas(TIDE_ALIGNMENT) unsigned char model_memory[1 << 20], stream_memory[1 << 18];
static float frame[1024], answer[1024];

static int refuse(const tide_fault *fault) {
  fprintf(stderr, "plan: %s is %llu, wanted %llu\n", fault->field, (unsigned long long)fault->seen,
          (unsigned long long)fault->wanted);
  return 1;
}

int main(void) {
  tide_fault fault;
  if (tide_plan_check(model_plan, model_plan_bytes, &fault) != TIDE_OK) return refuse(&fault);
  const tide_variant *variant = tide_variant_best();
  if (tide_model_bytes(model_plan, variant) > sizeof model_memory) return 2;
  const tide_model *model = tide_model_init(model_memory, model_plan, variant);
  if (tide_stream_bytes(model) > sizeof stream_memory) return 2;
  tide_stream *stream = tide_stream_init(stream_memory, model);

  const size_t width = tide_input_width(model), answers = tide_output_width(model, 0);
  float *outputs[] = {answer};
  take_bytes();
  while (fread(frame, sizeof *frame, width, stdin) == width) {
    if (tide_push(stream, frame, 1, outputs) != TIDE_OK) return 3;
    fwrite(answer, sizeof *answer, answers, stdout);
  }
  return 0;
}
