/* Golden vectors through the C++ wrapper, and what it refuses: `replay STEM...`; exits with 1 and a line at the first
 * fault. */
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <tidegate.hpp>
#include <vector>

using tidegate::Model;
using tidegate::Result;
using tidegate::Span;
using tidegate::Status;
using tidegate::Stream;

#define REQUIRE(what)                                                         \
  do {                                                                        \
    if (!(what)) std::printf("line %d: %s\n", __LINE__, #what), std::exit(1); \
  } while (0)

template <class T>
static std::vector<T> read(const std::string &path) {
  std::FILE *file = std::fopen(path.c_str(), "rb");
  REQUIRE(file);
  std::fseek(file, 0, SEEK_END);
  std::vector<T> values(static_cast<std::size_t>(std::ftell(file)) / sizeof(T));
  std::rewind(file);
  REQUIRE(std::fread(values.data(), sizeof(T), values.size(), file) == values.size());
  std::fclose(file);
  return values;
}

/* The answers of a stream, and then its states, as a golden vector has them. */
struct Replay {
  const Model &model;
  std::vector<std::vector<float>> all;

  explicit Replay(const Model &of) : model(of), all(of.outputs()) {}

  template <class Sizes, class Call>
  void add(Sizes sizes, Call call) {
    std::vector<std::vector<float>> parts;
    for (std::uint32_t i = 0; i < model.outputs(); i++) parts.emplace_back(sizes(i));
    std::vector<Span<float>> spans(parts.begin(), parts.end());
    REQUIRE(call(Span<const Span<float>>(spans)) == Status::ok);
    for (std::uint32_t i = 0; i < model.outputs(); i++) {
      if (!model.output_timed(i) && !parts[i].empty()) all[i].clear();
      all[i].insert(all[i].end(), parts[i].begin(), parts[i].end());
    }
  }

  void push(Stream &stream, Span<const float> frames) {
    const std::size_t count = frames.size() / model.width();
    add([&](std::uint32_t i) { return stream.answers(count, i); },
        [&](Span<const Span<float>> outputs) { return stream.push(frames, outputs); });
  }

  std::vector<float> end(Stream &stream) {
    add([&](std::uint32_t i) { return stream.rest(i); },
        [&](Span<const Span<float>> outputs) { return stream.finish(outputs); });
    std::vector<float> joined;
    for (const auto &part : all) joined.insert(joined.end(), part.begin(), part.end());
    for (std::uint32_t i = 0; i < model.states(); i++) {
      std::vector<float> state(model.state_width(i));
      REQUIRE(stream.state(i, state) == Status::ok);
      joined.insert(joined.end(), state.begin(), state.end());
    }
    return joined;
  }
};

static bool same(const std::vector<float> &a, const std::vector<float> &b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/* In pushes of `piece` frames; half way the stream goes on as its fork, and that as another's restored snapshot. */
static std::vector<float> answers(const Model &model, const std::vector<float> &frames, std::size_t piece) {
  Replay replay(model);
  Result<Stream> stream = model.stream();
  REQUIRE(stream);
  const std::size_t step = piece * model.width();
  for (std::size_t at = 0; at < frames.size(); at += step) {
    replay.push(*stream, {frames.data() + at, std::min(step, frames.size() - at)});
    if (at > frames.size() / 2) continue;
    stream = stream->fork();
    std::vector<unsigned char> bytes(model.snapshot_bytes());
    const std::size_t size = stream->snapshot(bytes);
    REQUIRE(size > 0);
    stream = model.stream();
    REQUIRE(stream->restore({bytes.data(), size}).status == Status::ok);
  }
  REQUIRE(stream->frames() == frames.size() / model.width() && stream->refused() == 0);
  return replay.end(*stream);
}

static void refuse(const std::vector<unsigned char> &plan, const Model &model, const std::vector<float> &frames) {
  std::vector<unsigned char> damaged(plan);
  damaged[plan.size() / 2] ^= 1;
  REQUIRE(Model::load(damaged).fault().status == Status::plan);
  REQUIRE(std::strcmp(Model::load(damaged).fault().field, "hash") == 0);
  REQUIRE(!Model::load(std::vector<unsigned char>()));

  Result<Stream> stream = model.stream();
  std::vector<float> bad(frames.begin(), frames.begin() + model.width()), none;
  std::vector<std::vector<float>> parts;
  for (std::uint32_t i = 0; i < model.outputs(); i++) parts.emplace_back(stream->answers(1, i));
  std::vector<Span<float>> spans(parts.begin(), parts.end());
  REQUIRE(stream->push(bad, Span<const Span<float>>()) == Status::size);
  if (model.width() > 1)
    REQUIRE(stream->push({bad.data(), bad.size() - 1}, Span<const Span<float>>(spans)) == Status::size);
  bad[0] = NAN;
  REQUIRE(stream->push(bad, Span<const Span<float>>(spans)) == Status::input && stream->refused() == 1);
  REQUIRE(stream->state(model.states(), bad) == Status::size && stream->set_state(0, none) == Status::size);
  REQUIRE(stream->restore(damaged).status == Status::snapshot);
  std::vector<unsigned char> small(1);
  REQUIRE(stream->snapshot(small) == 0 && stream->frames() == 0);
  REQUIRE(!model.group(0));
}

/* All rows of a group answer as the stream; one that left is refused. */
static void group(const Model &model, const std::vector<float> &frames) {
  Result<tidegate::Group> group = model.group(3);
  if (!group || model.outputs() != 1) return;
  const std::size_t count = 2, width = model.width();
  std::vector<float> twice, out(2 * (model.output_timed() ? count : 1) * model.output_width()), alone(out.size() / 2);
  for (int k = 0; k < 2; k++)
    twice.insert(twice.end(), frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(count * width));
  const std::vector<std::uint32_t> rows{2, 0};
  std::vector<tide_status> statuses(2);
  const Span<float> output(out);
  const Span<const Span<float>> outputs(&output, 1);
  REQUIRE(group->push(rows, twice, count, outputs, statuses) == Status::ok);
  Result<Stream> stream = model.stream();
  REQUIRE(stream->push({frames.data(), count * width}, alone) == Status::ok);
  REQUIRE(std::memcmp(out.data(), alone.data(), alone.size() * sizeof(float)) == 0);
  REQUIRE(std::memcmp(out.data() + alone.size(), alone.data(), alone.size() * sizeof(float)) == 0);
  REQUIRE(group->leave(0) == Status::ok && !group->joined(0) && !group->stream(0) && group->join(7) == Status::row);
  REQUIRE(group->push(rows, twice, count, outputs, statuses) == Status::row && statuses[1] == TIDE_E_ROW);
  REQUIRE(group->stream(2)->frames() == 2 * count);
  const std::size_t half = SIZE_MAX / 2 + 1; /* twice as many are 0 in a size_t */
  REQUIRE(group->push(rows, {}, half, outputs, statuses) == Status::size);
  REQUIRE(stream->answers(half) >= (model.output_timed() ? half : 1));
}

int main(int count, char **stems) {
  for (int i = 1; i < count; i++) {
    const std::string stem = stems[i];
    const auto plan = read<unsigned char>(stem + ".tide");
    const auto frames = read<float>(stem + ".frames"), wanted = read<float>(stem + ".answers");
    Result<Model> model = Model::load(plan);
    REQUIRE(model);
    for (std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 20}) {
      if (!same(answers(*model, frames, piece), wanted)) return std::printf("%s differs\n", stems[i]), 1;
    }
    refuse(plan, *model, frames);
    group(*model, frames);
  }
  std::printf("%d vectors equal\n", count - 1);
  return 0;
}
