/* tidegate for C++17: models, streams and groups that free themselves, and spans in place of pointers.
 *
 *     #include <tidegate.hpp>
 *
 *     auto model = tidegate::Model::load(bytes);  // of a file that `tidegate compile` wrote
 *     if (!model) return complain(model.fault());
 *     auto stream = model->stream();
 *     std::vector<float> answers(stream->answers(frames.size() / model->width()));
 *     if (stream->push(frames, answers) != tidegate::Status::ok) return complain();
 *
 * One header over <tidegate.h>, which is the manual: what a status, a row, a state and a snapshot are. Nothing here
 * throws; what may fail returns a Status, or a Result that holds a value or a fault. Sizes of spans are checked.
 *
 * A model keeps its plan, and a stream or a group keeps its model, so they may be freed in any order. Only load,
 * stream, group and fork allocate. Threads: as in <tidegate.h>.
 */
#ifndef TIDEGATE_HPP
#define TIDEGATE_HPP

#include <tidegate.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace tidegate {

/* The values of tide_status, and two of this header. */
enum class Status : int {
  ok = TIDE_OK,
  plan = TIDE_E_PLAN,
  input = TIDE_E_INPUT,
  range = TIDE_E_RANGE,
  snapshot = TIDE_E_SNAPSHOT,
  finished = TIDE_E_FINISHED,
  limit = TIDE_E_LIMIT,
  row = TIDE_E_ROW,
  rounding = TIDE_E_ROUNDING,
  size = 1,   /* a span has another size than the call wants, or an index is too large; nothing was done */
  memory = 2, /* there is not enough memory */
};

/* What a status means, in one line. */
inline const char *text(Status status) {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::plan:
      return "the plan is truncated, altered, of another version, or not valid";
    case Status::input:
      return "a value is NaN, infinite or above 2^64, or an id is not in the table";
    case Status::range:
      return "a value inside the model left 2^64";
    case Status::snapshot:
      return "the snapshot is truncated, altered, of another plan, or not valid";
    case Status::finished:
      return "the stream was finished; reset makes it as new";
    case Status::limit:
      return "the stream is one block and would become longer than its limit";
    case Status::row:
      return "the group has no such row, it has not joined, or it is named twice";
    case Status::rounding:
      return "the calling thread does not round to nearest";
    case Status::size:
      return "a span has another size than the call wants";
    case Status::memory:
      return "there is not enough memory";
  }
  return "unknown";
}

/* Why a plan or a snapshot is refused: its status, and the fields of tide_fault if it has some. */
struct Fault {
  Status status = Status::ok;
  const char *field = "";
  std::uint32_t op = TIDE_NO_OP;
  std::uint64_t seen = 0;
  std::uint64_t wanted = 0;
};

/* A value, or the fault for which there is none. */
template <class T>
class Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Fault fault) : fault_(fault) {}
  explicit operator bool() const { return value_.has_value(); }
  const Fault &fault() const { return fault_; }
  T &operator*() { return *value_; }
  T *operator->() { return &*value_; }

 private:
  std::optional<T> value_;
  Fault fault_;
};

/* Values next to each other that another owns: of anything with data() and size(), as std::vector and std::array. */
template <class T>
class Span {
 public:
  Span() = default;
  Span(T *data, std::size_t size) : data_(data), size_(size) {}
  template <class Of, class = std::enable_if_t<std::is_convertible_v<decltype(std::declval<Of &>().data()), T *> &&
                                               sizeof(*std::declval<Of &>().data()) == sizeof(T)>>
  Span(Of &&of) : data_(of.data()), size_(of.size()) {}
  T *data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};

namespace detail {

struct Free {
  void operator()(void *memory) const { ::operator delete(memory, std::align_val_t{TIDE_ALIGNMENT}); }
};
using Memory = std::unique_ptr<void, Free>;

inline Memory allocate(std::size_t bytes) {
  return Memory(::operator new(bytes, std::align_val_t{TIDE_ALIGNMENT}, std::nothrow));
}

/* A plan and the model made of it. */
struct Loaded {
  Memory plan, memory;
  const tide_model *model = nullptr;
};

/* Pointers to outputs for a call of the C library, which are as many as a model has. */
class Outputs {
 public:
  explicit Outputs(const tide_model *model) : memory_(allocate(tide_output_count(model) * sizeof(float *))) {}
  explicit operator bool() const { return memory_ != nullptr; }
  float *const *data() const { return static_cast<float **>(memory_.get()); }

  /* Takes the spans of all outputs, each of at least `wanted(output)` values. */
  template <class Wanted>
  Status set(const tide_model *model, Span<const Span<float>> spans, Wanted wanted) {
    if (spans.size() != tide_output_count(model)) return Status::size;
    for (std::uint32_t i = 0; i < spans.size(); i++) {
      if (spans.data()[i].size() < wanted(i)) return Status::size;
      static_cast<float **>(memory_.get())[i] = spans.data()[i].data();
    }
    return Status::ok;
  }

 private:
  Memory memory_;
};

inline Fault fault_of(tide_status status, const tide_fault &fault) {
  if (status == TIDE_E_ROUNDING) return {Status::rounding};
  return {static_cast<Status>(status), fault.field, fault.op, fault.seen, fault.wanted};
}

/* A product of sizes, or a size that no span has. */
inline std::size_t times(std::size_t a, std::size_t b) { return b && a > SIZE_MAX / b ? SIZE_MAX : a * b; }

/* Memory, and what it points into; freed from the last to the first. */
using Owned = std::pair<std::shared_ptr<const void>, Memory>;

inline std::shared_ptr<Owned> owned(std::shared_ptr<const void> kept, std::size_t bytes) {
  return std::make_shared<Owned>(std::move(kept), allocate(bytes));
}

}  // namespace detail

class Group;
class Model;

/* One sequence in progress on a model. */
class Stream {
 public:
  Stream(Stream &&) = default;
  Stream &operator=(Stream &&) = default;

  /* Values that a push of `count` frames will write to an output, and that finish will write. */
  std::size_t answers(std::size_t count, std::uint32_t output = 0) const {
    return output < tide_output_count(model()) ? detail::times(tide_rows(stream_, output, count), width(output)) : 0;
  }
  std::size_t rest(std::uint32_t output = 0) const {
    return output < tide_output_count(model()) ? detail::times(tide_rest(stream_, output), width(output)) : 0;
  }

  /* Consumes frames, row-major, any number of whole ones, and writes the answers: one span for each output, as
   * `push(frames, {logits, embedding})`, or the span of the only one. */
  Status push(Span<const float> frames, Span<const Span<float>> outputs) {
    const std::size_t features = tide_input_width(model()), count = frames.size() / features;
    if (count * features != frames.size()) return Status::size;
    const Status fit = outputs_.set(model(), outputs, [&](std::uint32_t i) { return answers(count, i); });
    if (fit != Status::ok) return fit;
    return static_cast<Status>(tide_push(stream_, frames.data(), count, outputs_.data()));
  }
  Status push(Span<const float> frames, std::initializer_list<Span<float>> outputs) {
    return push(frames, Span<const Span<float>>(outputs.begin(), outputs.size()));
  }
  Status push(Span<const float> frames, Span<float> output) {
    return push(frames, Span<const Span<float>>(&output, 1));
  }

  /* Ends the stream, and writes the rows that a lookahead still holds back. */
  Status finish(Span<const Span<float>> outputs) {
    const Status fit = outputs_.set(model(), outputs, [&](std::uint32_t i) { return rest(i); });
    return fit != Status::ok ? fit : static_cast<Status>(tide_finish(stream_, outputs_.data()));
  }
  Status finish(std::initializer_list<Span<float>> outputs) {
    return finish(Span<const Span<float>>(outputs.begin(), outputs.size()));
  }
  Status finish(Span<float> output) { return finish(Span<const Span<float>>(&output, 1)); }

  void reset() { tide_reset(stream_); }
  bool finished() const { return tide_finished(stream_) != 0; }
  std::uint64_t frames() const { return tide_frames(stream_); }
  std::uint64_t refused() const { return tide_refused(stream_); }

  /* Reads and sets a state vector; the span has its width. */
  Status state(std::uint32_t index, Span<float> values) const {
    if (!is_state(index, values.size())) return Status::size;
    tide_state_read(stream_, index, values.data());
    return Status::ok;
  }
  Status set_state(std::uint32_t index, Span<const float> values) {
    if (!is_state(index, values.size())) return Status::size;
    return static_cast<Status>(tide_state_write(stream_, index, values.data()));
  }

  /* Writes a snapshot into at least `Model::snapshot_bytes`; returns its bytes, 0 if the span is too small. */
  std::size_t snapshot(Span<unsigned char> bytes) const {
    return bytes.size() < tide_snapshot_bytes(model()) ? 0 : tide_snapshot(stream_, bytes.data());
  }
  Fault restore(Span<const unsigned char> bytes) {
    tide_fault fault{};
    const tide_status status = tide_restore(stream_, bytes.data(), bytes.size(), &fault);
    return status == TIDE_OK ? Fault{} : detail::fault_of(status, fault);
  }

  /* A stream that goes on from the same state. */
  Result<Stream> fork() const {
    auto memory = detail::owned(owner_, tide_stream_bytes(model()));
    detail::Memory bytes = detail::allocate(tide_snapshot_bytes(model()));
    if (!memory->second || !bytes) return Fault{Status::memory};
    Result<Stream> copy = made(memory, model(), tide_stream_init(memory->second.get(), model()));
    if (!copy) return copy;
    const std::size_t size = tide_snapshot(stream_, bytes.get());
    const Fault fault = copy->restore({static_cast<const unsigned char *>(bytes.get()), size});
    if (fault.status != Status::ok) return fault;
    return copy;
  }

 private:
  friend class Group;
  friend class Model;
  Stream(std::shared_ptr<const void> owner, const tide_model *model, tide_stream *stream)
      : owner_(std::move(owner)), model_(model), stream_(stream), outputs_(model) {}

  static Result<Stream> made(std::shared_ptr<const void> owner, const tide_model *model, tide_stream *stream) {
    Stream made(std::move(owner), model, stream);
    if (!made.outputs_) return Fault{Status::memory};
    return Result<Stream>(std::move(made));
  }

  const tide_model *model() const { return model_; }
  std::size_t width(std::uint32_t output) const { return tide_output_width(model(), output); }
  bool is_state(std::uint32_t index, std::size_t size) const {
    return index < tide_state_count(model()) && size == tide_state_width(model(), index);
  }

  std::shared_ptr<const void> owner_; /* what keeps the stream's memory and its model */
  const tide_model *model_;
  tide_stream *stream_;
  detail::Outputs outputs_;
};

/* Many streams on one model in one step, which share every read of the weights. */
class Group {
 public:
  std::uint32_t rows() const { return tide_group_rows(group_); }
  bool joined(std::uint32_t row) const { return row < rows() && tide_group_joined(group_, row); }
  Status join(std::uint32_t row) { return change(row, tide_group_join); }
  Status leave(std::uint32_t row) { return change(row, tide_group_leave); }

  /* The stream in a row, while the row is joined. */
  Result<Stream> stream(std::uint32_t row) const {
    if (!joined(row)) return Fault{Status::row};
    return Stream::made(owner_, model_, tide_group_stream(group_, row));
  }

  /* Consumes `count` frames of each of the rows; as tide_group_push. `statuses` has one for each row. */
  Status push(Span<const std::uint32_t> rows, Span<const float> frames, std::size_t count,
              Span<const Span<float>> outputs, Span<tide_status> statuses) {
    const std::size_t wanted = detail::times(detail::times(rows.size(), count), tide_input_width(model_));
    if (frames.size() != wanted || statuses.size() != rows.size()) return Status::size;
    const Status fit = outputs_.set(model_, outputs, [&](std::uint32_t i) {
      const std::size_t each = tide_output_timed(model_, i) ? count : count > 0;
      return detail::times(detail::times(rows.size(), each), tide_output_width(model_, i));
    });
    if (fit != Status::ok) return fit;
    return static_cast<Status>(
        tide_group_push(group_, rows.data(), rows.size(), frames.data(), count, outputs_.data(), statuses.data()));
  }

 private:
  friend class Model;
  Group(std::shared_ptr<const void> owner, const tide_model *model, tide_group *group)
      : owner_(std::move(owner)), model_(model), group_(group), outputs_(model) {}

  Status change(std::uint32_t row, void (*how)(tide_group *, std::uint32_t)) {
    if (row >= rows()) return Status::row;
    how(group_, row);
    return Status::ok;
  }

  std::shared_ptr<const void> owner_;
  const tide_model *model_;
  tide_group *group_;
  detail::Outputs outputs_;
};

/* A plan made ready for this processor; read-only, for any number of threads and streams. */
class Model {
 public:
  /* Checks a plan, which may come from a stranger, and copies it. `variant`: tide_variant_best, or one of its kind. */
  static Result<Model> load(Span<const unsigned char> plan, const tide_variant *variant = tide_variant_best()) {
    auto loaded = std::make_shared<detail::Loaded>();
    loaded->plan = detail::allocate(plan.size() ? plan.size() : 1);
    if (!loaded->plan) return Fault{Status::memory};
    if (plan.size()) std::memcpy(loaded->plan.get(), plan.data(), plan.size());
    tide_fault fault{};
    const tide_status status = tide_plan_check(loaded->plan.get(), plan.size(), &fault);
    if (status != TIDE_OK) return detail::fault_of(status, fault);
    loaded->memory = detail::allocate(tide_model_bytes(loaded->plan.get(), variant));
    if (!loaded->memory) return Fault{Status::memory};
    loaded->model = tide_model_init(loaded->memory.get(), loaded->plan.get(), variant);
    return Model(std::move(loaded));
  }

  const char *variant() const { return tide_variant_name(tide_model_variant(model())); }
  std::uint32_t width() const { return tide_input_width(model()); }
  std::uint32_t ids() const { return tide_input_ids(model()); }
  std::uint32_t feature_ids(std::uint32_t feature) const { return tide_feature_ids(model(), feature); }
  std::uint32_t outputs() const { return tide_output_count(model()); }
  std::uint32_t output_width(std::uint32_t output = 0) const {
    return output < outputs() ? tide_output_width(model(), output) : 0;
  }
  bool output_timed(std::uint32_t output = 0) const {
    return output < outputs() && tide_output_timed(model(), output) != 0;
  }
  std::uint32_t limit() const { return tide_limit(model()); }
  std::uint32_t states() const { return tide_state_count(model()); }
  std::uint32_t state_width(std::uint32_t state) const {
    return state < states() ? tide_state_width(model(), state) : 0;
  }
  std::size_t snapshot_bytes() const { return tide_snapshot_bytes(model()); }

  /* A new stream. */
  Result<Stream> stream() const {
    auto memory = detail::owned(loaded_, tide_stream_bytes(model()));
    if (!memory->second) return Fault{Status::memory};
    tide_stream *stream = tide_stream_init(memory->second.get(), model());
    return Stream::made(std::move(memory), model(), stream);
  }

  /* A group of rows, all joined. A model that looks ahead has none. */
  Result<Group> group(std::uint32_t rows) const {
    const std::size_t bytes = rows ? tide_group_bytes(model(), rows) : 0;
    if (bytes == 0) return Fault{Status::row};
    auto memory = detail::owned(loaded_, bytes);
    if (!memory->second) return Fault{Status::memory};
    tide_group *group = tide_group_init(memory->second.get(), model(), rows);
    Group made(std::move(memory), model(), group);
    if (!made.outputs_) return Fault{Status::memory};
    return Result<Group>(std::move(made));
  }

 private:
  explicit Model(std::shared_ptr<const detail::Loaded> loaded) : loaded_(std::move(loaded)) {}
  const tide_model *model() const { return loaded_->model; }

  std::shared_ptr<const detail::Loaded> loaded_;
};

}  // namespace tidegate

#endif
