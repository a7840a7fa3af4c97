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

static std::vector<unsigned char> read(const char *path) {
  std::vector<unsigned char> bytes;
  if (std::FILE *file = std::fopen(path, "rb")) {
    for (int byte; (byte = std::fgetc(file)) != EOF;) bytes.push_back(static_cast<unsigned char>(byte));
    std::fclose(file);
  }
  return bytes;
}

int main(int count, char **arguments) {
  if (count != 2) return std::fprintf(stderr, "usage: stream MODEL.tide < FRAMES > ANSWERS\n"), 2;
  auto model = tidegate::Model::load(read(arguments[1]));
  if (!model) return std::fprintf(stderr, "%s: the plan is refused for its %s\n", arguments[1], model.fault().field), 1;
  auto stream = model->stream();
  if (!stream) return std::fprintf(stderr, "%s\n", tidegate::text(stream.fault().status)), 1;

  take_bytes();
  std::vector<float> frame(model->width()), answers(stream->answers(1));
  while (std::fread(frame.data(), sizeof(float), frame.size(), stdin) == frame.size()) {
    const tidegate::Status status = stream->push(frame, answers);
    if (status != tidegate::Status::ok) return std::fprintf(stderr, "%s\n", tidegate::text(status)), 1;
    std::fwrite(answers.data(), sizeof(float), answers.size(), stdout);
  }
  return 0;
}
