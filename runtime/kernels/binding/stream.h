// Streams: one sequence in progress.
#ifndef TIDE_BINDING_STREAM_H
#define TIDE_BINDING_STREAM_H

#include "model.h"

class Stream : Owned {
 public:
  explicit Stream(nb::object model)
      : Owned("stream"),
        model_object_(model),
        model_(nb::cast<Model *>(model)),
        memory_(aligned(tide_stream_bytes(model_->get()))) {
    stream_ = tide_stream_init(memory_.get(), model_->get());
  }

  // The next owner of the memory must not see the stream's state.
  ~Stream() { wipe(memory_.get(), tide_stream_bytes(model_->get())); }

  nb::object push(nb::handle chunk, nb::handle out) {
    if (PyDict_Check(chunk.ptr())) return nb::find(this).attr("push_named")(chunk, out);
    const uint32_t ids = tide_input_ids(model_->get());
    nb::object given = ids ? as_ids(chunk, 1, "(frames)") : as_float32(chunk),
               frames = ids ? ids_as_float32(given) : given;
    const size_t count = check_shape(reinterpret_cast<PyArrayObject *>(frames.ptr()));
    Turn turn(*this);
    if (tide_finished(stream_)) raise("ChunkError", describe_finished());
    if (model_->outputs().count() != 1 && out.is_none()) return push_many(given, frames, count);
    const size_t ready = tide_rows(stream_, 0, count);
    nb::object result = out.is_none() ? model_->outputs().fresh(0, ready) : model_->outputs().checked(out, 0, ready);
    float *outputs[1] = {data(result)};
    const nb::object apart = out.is_none() ? frames : without_overlap(frames, result);
    run(given, apart, count, outputs);
    return result;
  }

  nb::object finish() {
    std::vector<nb::object> results;
    std::vector<float *> outputs;
    Turn turn(*this);
    bool held = false;
    for (uint32_t i = 0; i < model_->outputs().count(); i++) {
      const size_t rows = tide_rest(stream_, i);
      held |= rows > 0;
      results.push_back(model_->outputs().fresh(i, rows));
      outputs.push_back(data(results.back()));
    }
    nb::object answer = nb::none();  // made before the stream ends: without memory for it, nothing happens
    if (held) answer = model_->outputs().by_name(results);
    tide_status status;
    {
      WithoutGil others;
      status = tide_finish(stream_, outputs.data());
    }
    if (status == TIDE_E_FINISHED) raise("ChunkError", describe_finished());
    if (status == TIDE_E_ROUNDING) raise("BackendError", describe_rounding());
    if (status != TIDE_OK) raise("ChunkError", "a value inside the model left 2^64 at the end; stream unchanged");
    return answer;
  }

  bool finished() {
    Turn turn(*this);
    return tide_finished(stream_);
  }

  void reset() {
    Turn turn(*this);
    tide_reset(stream_);
  }

  nb::bytes snapshot() {
    Turn turn(*this);
    std::string bytes(tide_snapshot_bytes(model_->get()), '\0');
    return nb::bytes(bytes.data(), tide_snapshot(stream_, bytes.data()));
  }

  void restore(nb::bytes snapshot) {
    Turn turn(*this);
    tide_fault fault;
    if (tide_restore(stream_, snapshot.c_str(), snapshot.size(), &fault) != TIDE_OK)
      raise("SnapshotError", describe_snapshot(fault));
  }

  uint64_t frames() {
    Turn turn(*this);
    return tide_frames(stream_);
  }

  uint64_t refused() {
    Turn turn(*this);
    return tide_refused(stream_);
  }

  nb::list states() {
    Turn turn(*this);
    nb::list all;
    for (uint32_t i = 0; i < tide_state_count(model_->get()); i++) {
      npy_intp size = tide_state_width(model_->get(), i);
      nb::object values = new_array(1, &size);
      tide_state_read(stream_, i, data(values));
      all.append(values);
    }
    return all;
  }

  void write_states(const nb::list &vectors) {
    Turn turn(*this);
    ::write_states(stream_, model_->get(), vectors);
  }

 private:
  // Returns the number of frames.
  size_t check_shape(PyArrayObject *array) const {
    const npy_intp width = tide_input_width(model_->get());
    if (PyArray_NDIM(array) == 2 && PyArray_DIM(array, 1) == width) return static_cast<size_t>(PyArray_DIM(array, 0));
    raise("ChunkError", "chunk has shape " + shape_of(array) + ", wanted (frames, " + std::to_string(width) + ")");
  }

  nb::object push_many(const nb::object &given, const nb::object &frames, size_t count) {
    std::vector<nb::object> results;
    std::vector<float *> outputs;
    for (uint32_t i = 0; i < model_->outputs().count(); i++) {
      results.push_back(model_->outputs().fresh(i, tide_rows(stream_, i, count)));
      outputs.push_back(data(results.back()));
    }
    nb::object answer = model_->outputs().by_name(results);  // before the state changes, as in finish()
    run(given, frames, count, outputs.data());
    return answer;
  }

  void run(const nb::object &given, const nb::object &frames, size_t count, float *const *outputs) {
    const float *values = data(frames);
    tide_status status;
    {
      WithoutGil others;
      status = tide_push(stream_, values, count, outputs);
    }
    if (status == TIDE_E_LIMIT) refuse_length(count);
    if (status == TIDE_E_ROUNDING) raise("BackendError", describe_rounding());
    if (status != TIDE_OK) raise("ChunkError", describe_refusal(model_->get(), status, given, 0, count));
  }

  [[noreturn]] void refuse_length(size_t count) const {
    raise("ChunkError", "chunk of " + std::to_string(count) + " frames after " + std::to_string(tide_frames(stream_)) +
                            ": the stream is one block, of at most " + std::to_string(tide_limit(model_->get())) +
                            " frames; finish() it first, or export with limit= or block=; chunk refused, state "
                            "unchanged");
  }

  nb::object model_object_;  // keeps the model alive
  Model *model_;
  Memory memory_;
  tide_stream *stream_;
};

#endif
