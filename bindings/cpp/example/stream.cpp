/* Streams frames through a model: `stream MODEL.tide < FRAMES > ANSWERS`, float32 in and out, one frame per push. */
#include <cstdio>
#include <vector>

#include <tidegate.hpp>

#ifdef _WIN32 /* where standard input and output are lines of text, unless a program says otherwise */
#include <fcntl.h>
#include <io.h>
static void take_bytes() { _setmode(_fileno(stdin), _O_BINARY), _setmode(_fileno(stdout), _O_BINARY); }
#else
static void take_bytes() {}
#endif

static bool read(const char *path, std::vector<unsigned char> &bytes) {
  std::FILE *file = std::fopen(path, "rb");
  if (!file) return false;
  for (int byte; (byte = std::fgetc(file)) != EOF;) bytes.push_back(static_cast<unsigned char>(byte));
  const bool whole = !std::ferror(file);
  std::fclose(file);
  return whole;
}

int main(int count, char **arguments) {
  if (count != 2) return std::fprintf(stderr, "usage: stream MODEL.tide < FRAMES > ANSWERS\n"), 2;
  std::vector<unsigned char> plan;
  if (!read(arguments[1], plan)) return std::fprintf(stderr, "%s: cannot be read\n", arguments[1]), 1;
  auto model = tidegate::Model::load(plan);
  if (!model) return std::fprintf(stderr, "%s: the plan is refused for its %s\n", arguments[1], model.fault().field), 1;
  auto stream = model->stream();
  if (!stream) return std::fprintf(stderr, "%s\n", tidegate::text(stream.fault().status)), 1;

  take_bytes();
  std::vector<float> frame(model->width()), answers(stream->answers(1));
  const std::size_t bytes = frame.size() * sizeof(float);
  std::size_t got = 0;
  while ((got = std::fread(frame.data(), 1, bytes, stdin)) == bytes) {
    const tidegate::Status status = stream->push(frame, answers);
    if (status != tidegate::Status::ok) return std::fprintf(stderr, "%s\n", tidegate::text(status)), 1;
    std::fwrite(answers.data(), sizeof(float), answers.size(), stdout);
  }
  if (got) return std::fprintf(stderr, "standard input: %zu bytes at its end, wanted %zu for a frame\n", got, bytes), 1;
  return 0;
}
