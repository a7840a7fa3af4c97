// The Python face of the engine: checks arrays, releases the GIL, calls, turns a status into an exception.
// Arrays go through numpy's own C API: nanobind's ndarray costs 0.5 us a call more.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <numpy/arrayobject.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "src/kernels.h"
#include "tidegate.h"

namespace nb = nanobind;

namespace {

[[noreturn]] void raise(const char *error, const std::string &message) {
  nb::object type = nb::module_::import_("tidegate.runtime.errors").attr(error);
  PyErr_SetString(type.ptr(), message.c_str());
  throw nb::python_error();
}

struct Free {
  void operator()(void *p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, Free>;

Memory aligned(size_t bytes) {
  const size_t whole = (bytes + TIDE_ALIGNMENT - 1) / TIDE_ALIGNMENT * TIDE_ALIGNMENT;
  Memory memory(std::aligned_alloc(TIDE_ALIGNMENT, whole ? whole : TIDE_ALIGNMENT));
  if (!memory) throw std::bad_alloc();
  return memory;
}

// Clears memory; through a volatile pointer, so that no compiler leaves out what nobody reads.
void wipe(void *memory, size_t bytes) {
  static void *(*const volatile clear)(void *, int, size_t) = std::memset;
  clear(memory, 0, bytes);
}

// ---- variants ----

std::vector<std::string> variants(bool supported_only) {
  std::vector<std::string> names;
  for (size_t i = 0; const tide_variant *v = tide_variant_at(i); i++) {
    if (!supported_only || tide_variant_supported(v)) names.emplace_back(tide_variant_name(v));
  }
  return names;
}

std::string joined(const std::vector<std::string> &names) {
  std::string text;
  for (const std::string &name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

const tide_variant *find_variant(const std::string &name) {
  if (name.empty()) return tide_variant_best();
  for (size_t i = 0; const tide_variant *v = tide_variant_at(i); i++) {
    if (name != tide_variant_name(v)) continue;
    if (tide_variant_supported(v)) return v;
    raise("BackendError", "instruction set '" + name + "' is in this build, but this processor lacks it; it runs " +
                              joined(variants(true)));
  }
  raise("BackendError", "instruction set '" + name + "' is not in this build, which has " + joined(variants(false)));
}

// ---- model ----

std::string describe_plan(const tide_fault &fault) {
  std::string where = fault.op == TIDE_NO_OP ? "plan" : "plan, operation " + std::to_string(fault.op);
  return where + ": " + fault.field + " is " + std::to_string(fault.seen) + ", wanted " + std::to_string(fault.wanted) +
         "; the file is damaged or of another version, compile it again";
}

// Bytes of a model and of a stream, features, floats of each output and state vector; for a variant that packs weights
// by lanes, depth and panel, or reads them in place (zeros). Nothing is run.
using Sizes = std::tuple<size_t, size_t, uint32_t, std::vector<uint32_t>, std::vector<uint32_t>>;
Sizes sizes(nb::bytes bytes, uint32_t lanes, uint32_t depth, uint32_t panel) {
  tide_variant variant = *tide_variant_at(variants(false).size() - 1);  // plain C, in place
  if (lanes)
    variant.in_place = 0, variant.block = 16, variant.lanes = lanes, variant.depth = depth, variant.panel = panel;
  Memory plan = aligned(bytes.size());
  std::memcpy(plan.get(), bytes.c_str(), bytes.size());
  tide_fault fault;
  if (tide_plan_check(plan.get(), bytes.size(), &fault) != TIDE_OK) raise("PlanError", describe_plan(fault));
  const size_t model_bytes = tide_model_bytes(plan.get(), &variant);
  Memory memory = aligned(model_bytes);
  const tide_model *model = tide_model_init(memory.get(), plan.get(), &variant);
  std::vector<uint32_t> outputs(tide_output_count(model)), states(tide_state_count(model));
  for (uint32_t i = 0; i < outputs.size(); i++) outputs[i] = tide_output_width(model, i);
  for (uint32_t i = 0; i < states.size(); i++) states[i] = tide_state_width(model, i);
  return {model_bytes, tide_stream_bytes(model), tide_input_width(model), outputs, states};
}

class Model {
 public:
  Model(nb::bytes plan, const std::string &variant) : variant_(find_variant(variant)), plan_(aligned(plan.size())) {
    std::memcpy(plan_.get(), plan.c_str(), plan.size());
    tide_fault fault;
    if (tide_plan_check(plan_.get(), plan.size(), &fault) != TIDE_OK) raise("PlanError", describe_plan(fault));
    memory_ = aligned(tide_model_bytes(plan_.get(), variant_));
    model_ = tide_model_init(memory_.get(), plan_.get(), variant_);
  }

  void name_outputs(std::vector<std::string> names) {
    if (names.size() != tide_output_count(model_)) {
      raise("PlanError", "plan: " + std::to_string(names.size()) + " output names for " +
                             std::to_string(tide_output_count(model_)) + " outputs; compile it again");
    }
    output_names_ = std::move(names);
  }

  const tide_model *get() const { return model_; }
  const std::vector<std::string> &output_names() const { return output_names_; }
  std::string variant() const { return tide_variant_name(variant_); }
  std::vector<uint32_t> state_widths() const {
    std::vector<uint32_t> widths(tide_state_count(model_));
    for (uint32_t i = 0; i < widths.size(); i++) widths[i] = tide_state_width(model_, i);
    return widths;
  }

 private:
  const tide_variant *variant_;
  Memory plan_, memory_;
  std::vector<std::string> output_names_;
  tide_model *model_;
};

// ---- stream ----

std::string describe_snapshot(const tide_fault &fault) {
  const std::string field = fault.field;
  if (field == "state") {
    const auto bits = static_cast<uint32_t>(fault.seen);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return "snapshot: state holds " + std::to_string(value) + ", wanted finite values up to 2^64; stream unchanged";
  }
  const char *way_out = field == "model"     ? "it was taken of another plan, restore it there"
                        : field == "backend" ? "it was taken on another backend, restore it there"
                                             : "it is damaged or of another version, take it again";
  return "snapshot: " + field + " is " + std::to_string(fault.seen) + ", wanted " + std::to_string(fault.wanted) +
         "; " + way_out + "; stream unchanged";
}

const char FINISHED[] = "the stream was finished; reset() starts a new one";

std::string shape_of(PyArrayObject *array) {
  std::string text = "(";
  for (int i = 0; i < PyArray_NDIM(array); i++) text += (i ? ", " : "") + std::to_string(PyArray_DIM(array, i));
  return text + ")";
}

bool is_plain_float32(PyObject *object) {
  if (!PyArray_Check(object)) return false;
  auto *array = reinterpret_cast<PyArrayObject *>(object);
  return PyArray_TYPE(array) == NPY_FLOAT && PyArray_ISCARRAY_RO(array);
}

// The chunk as a C-contiguous float32 array: itself, or converted.
nb::object as_float32(nb::handle chunk) {
  if (is_plain_float32(chunk.ptr())) return nb::borrow(chunk);
  nb::object any = nb::steal(PyArray_FromAny(chunk.ptr(), nullptr, 0, 0, 0, nullptr));
  if (!any.is_valid()) throw nb::python_error();
  auto *array = reinterpret_cast<PyArrayObject *>(any.ptr());
  PyArray_Descr *float32 = PyArray_DescrFromType(NPY_FLOAT);
  if (!PyArray_CanCastArrayTo(array, float32, NPY_SAME_KIND_CASTING)) {
    Py_DECREF(float32);
    nb::object dtype = any.attr("dtype");
    raise("ChunkError", std::string("chunk has dtype ") + nb::str(dtype).c_str() + ", wanted float32");
  }
  nb::object cast = nb::steal(PyArray_FromArray(array, float32, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST));
  if (!cast.is_valid()) throw nb::python_error();
  return cast;
}

// Ids `[frames]` as int64.
nb::object as_ids(nb::handle chunk) {
  nb::object any = nb::steal(PyArray_FromAny(chunk.ptr(), nullptr, 0, 0, 0, nullptr));
  if (!any.is_valid()) throw nb::python_error();
  auto *array = reinterpret_cast<PyArrayObject *>(any.ptr());
  if (!PyTypeNum_ISINTEGER(PyArray_TYPE(array))) {
    nb::object dtype = any.attr("dtype");
    raise("ChunkError", std::string("chunk has dtype ") + nb::str(dtype).c_str() + ", wanted ids, which are integers");
  }
  if (PyArray_NDIM(array) != 1) raise("ChunkError", "chunk has shape " + shape_of(array) + ", wanted ids (frames)");
  nb::object ids =
      nb::steal(PyArray_FromArray(array, PyArray_DescrFromType(NPY_INT64), NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST));
  if (!ids.is_valid()) throw nb::python_error();
  return ids;
}

// Ids as the engine takes them, floats `[frames, 1]`; those that are no float are in no table either.
nb::object ids_as_float32(const nb::object &ids) {
  auto *array = reinterpret_cast<PyArrayObject *>(ids.ptr());
  npy_intp sizes[2] = {PyArray_DIM(array, 0), 1};
  nb::object floats = nb::steal(PyArray_SimpleNew(2, sizes, NPY_FLOAT));
  if (!floats.is_valid()) throw nb::python_error();
  const auto *from = static_cast<const npy_int64 *>(PyArray_DATA(array));
  auto *to = static_cast<float *>(PyArray_DATA(reinterpret_cast<PyArrayObject *>(floats.ptr())));
  for (npy_intp i = 0; i < sizes[0]; i++) to[i] = static_cast<float>(from[i]);
  return floats;
}

class Stream {
 public:
  explicit Stream(nb::object model)
      : model_object_(model), model_(nb::cast<Model *>(model)), memory_(aligned(tide_stream_bytes(model_->get()))) {
    stream_ = tide_stream_init(memory_.get(), model_->get());
  }

  // What one stream carried is not for the next owner of its memory.
  ~Stream() { wipe(memory_.get(), tide_stream_bytes(model_->get())); }

  nb::object push(nb::handle chunk, nb::handle out) {
    const uint32_t ids = tide_input_ids(model_->get());
    nb::object given = ids ? as_ids(chunk) : as_float32(chunk), frames = ids ? ids_as_float32(given) : given;
    auto *array = reinterpret_cast<PyArrayObject *>(frames.ptr());
    check_shape(array);
    const size_t count = static_cast<size_t>(PyArray_DIM(array, 0));
    Turn turn(*this);
    if (tide_finished(stream_)) raise("ChunkError", FINISHED);
    if (tide_output_count(model_->get()) != 1) return push_many(given, array, count, out);
    nb::object result = out.is_none() ? fresh(0, count) : checked(out, 0, count);
    float *outputs[1] = {data(result)};
    run(given, array, count, outputs);
    return result;
  }

  nb::object finish() {
    const uint32_t count = tide_output_count(model_->get());
    std::vector<nb::object> results;
    std::vector<float *> outputs;
    Turn turn(*this);
    bool held = false;
    for (uint32_t i = 0; i < count; i++) {
      const size_t rows = tide_rest(stream_, i);
      held |= rows > 0;
      results.push_back(with_rows(i, rows));
      outputs.push_back(data(results.back()));
    }
    tide_status status;
    {
      nb::gil_scoped_release release;
      status = tide_finish(stream_, outputs.data());
    }
    if (status == TIDE_E_FINISHED) raise("ChunkError", FINISHED);
    if (status != TIDE_OK) raise("ChunkError", "a value inside the model left 2^64 at the end; stream unchanged");
    if (!held) return nb::none();
    if (count == 1) return results[0];
    nb::dict named;
    for (uint32_t i = 0; i < count; i++) named[model_->output_names()[i].c_str()] = results[i];
    return named;
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

 private:
  // Holds the stream for one caller; a second one gets an error, never a wrong answer.
  class Turn {
   public:
    explicit Turn(Stream &stream) : busy_(stream.busy_) {
      if (busy_.exchange(true, std::memory_order_acquire)) {
        raise("BackendError", "stream is in use by another thread; give each thread a stream of its own");
      }
    }
    ~Turn() { busy_.store(false, std::memory_order_release); }

   private:
    std::atomic<bool> &busy_;
  };

  static float *data(const nb::object &array) {
    if (array.is_none()) return nullptr;
    return static_cast<float *>(PyArray_DATA(reinterpret_cast<PyArrayObject *>(array.ptr())));
  }

  static nb::object new_array(int dimensions, npy_intp *sizes) {
    nb::object array = nb::steal(PyArray_SimpleNew(dimensions, sizes, NPY_FLOAT));
    if (!array.is_valid()) throw nb::python_error();
    return array;
  }

  void check_shape(PyArrayObject *array) const {
    const npy_intp width = tide_input_width(model_->get());
    if (PyArray_NDIM(array) == 2 && PyArray_DIM(array, 1) == width) return;
    raise("ChunkError", "chunk has shape " + shape_of(array) + ", wanted (frames, " + std::to_string(width) + ")");
  }

  // Rows of an output for a push; of one without a time axis one row or none.
  size_t rows(uint32_t output, size_t count) const {
    if (!tide_output_timed(model_->get(), output) && count == 0) {
      raise("ChunkError", "chunk has no frame, but output '" + model_->output_names()[output] +
                              "' is that of the chunk's last frame; push at least one");
    }
    return tide_rows(stream_, output, count);
  }

  // Room for an output: [rows, width] of a timed one; of another [width], or None where there is no row.
  nb::object with_rows(uint32_t output, size_t rows) const {
    npy_intp sizes[2] = {static_cast<npy_intp>(rows), tide_output_width(model_->get(), output)};
    if (tide_output_timed(model_->get(), output)) return new_array(2, sizes);
    return rows ? new_array(1, sizes + 1) : nb::none();
  }

  nb::object fresh(uint32_t output, size_t count) const { return with_rows(output, rows(output, count)); }

  nb::object checked(nb::handle out, uint32_t output, size_t count) const {
    const size_t ready = rows(output, count);
    const bool timed = tide_output_timed(model_->get(), output);
    if (!timed && !ready) return nb::none();
    const npy_intp width = tide_output_width(model_->get(), output);
    const npy_intp sizes[2] = {timed ? static_cast<npy_intp>(ready) : width, width};
    const int dimensions = timed ? 2 : 1;
    if (!is_plain_float32(out.ptr())) raise("ChunkError", "out is not a C-contiguous float32 array");
    auto *array = reinterpret_cast<PyArrayObject *>(out.ptr());
    if (!PyArray_ISWRITEABLE(array)) raise("ChunkError", "out is read-only");
    bool same = PyArray_NDIM(array) == dimensions;
    for (int i = 0; same && i < dimensions; i++) same = PyArray_DIM(array, i) == sizes[i];
    if (!same) {
      const std::string wanted = std::to_string(sizes[0]) + (dimensions == 2 ? ", " + std::to_string(sizes[1]) : ",");
      raise("ChunkError", "out has shape " + shape_of(array) + ", wanted (" + wanted + ")");
    }
    return nb::borrow(out);
  }

  nb::object push_many(const nb::object &given, PyArrayObject *array, size_t count, nb::handle out) {
    if (!out.is_none()) raise("ChunkError", "out is for models with one output; this one has several");
    nb::dict results;
    std::vector<float *> outputs;
    for (uint32_t i = 0; i < tide_output_count(model_->get()); i++) {
      nb::object result = fresh(i, count);
      outputs.push_back(data(result));
      results[model_->output_names()[i].c_str()] = result;
    }
    run(given, array, count, outputs.data());
    return results;
  }

  void run(const nb::object &given, PyArrayObject *array, size_t count, float *const *outputs) {
    const float *frames = static_cast<const float *>(PyArray_DATA(array));
    tide_status status;
    {
      nb::gil_scoped_release release;
      status = tide_push(stream_, frames, count, outputs);
    }
    if (status != TIDE_OK) refuse(status, given, count);
  }

  [[noreturn]] void refuse(tide_status status, const nb::object &given, size_t count) const {
    if (status == TIDE_E_LIMIT) refuse_length(count);
    if (status == TIDE_E_RANGE) {
      raise("ChunkError", "a value inside the model left 2^64 on this chunk; chunk refused, state unchanged");
    }
    const void *values = PyArray_DATA(reinterpret_cast<PyArrayObject *>(given.ptr()));
    const uint32_t ids = tide_input_ids(model_->get());
    if (ids) refuse_id(static_cast<const npy_int64 *>(values), count, ids);
    refuse_value(static_cast<const float *>(values), count);
  }

  [[noreturn]] void refuse_length(size_t count) const {
    raise("ChunkError", "chunk of " + std::to_string(count) + " frames after " + std::to_string(tide_frames(stream_)) +
                            ": the stream is one block, of at most " + std::to_string(tide_limit(model_->get())) +
                            " frames; finish() it before, or export with limit= or block=; chunk refused, state "
                            "unchanged");
  }

  [[noreturn]] void refuse_id(const npy_int64 *ids, size_t count, uint32_t rows) const {
    size_t at = 0;
    while (at + 1 < count && ids[at] >= 0 && ids[at] < rows) at++;
    raise("ChunkError", "chunk holds id " + std::to_string(ids[at]) + " at frame " + std::to_string(at) +
                            "; wanted 0 to " + std::to_string(rows - 1) + "; chunk refused, state unchanged");
  }

  [[noreturn]] void refuse_value(const float *frames, size_t count) const {
    const size_t width = tide_input_width(model_->get());
    size_t at = 0;
    while (at + 1 < count * width && std::fabs(frames[at]) <= 0x1p64f) at++;
    raise("ChunkError", "chunk holds " + std::to_string(frames[at]) + " at frame " + std::to_string(at / width) +
                            ", feature " + std::to_string(at % width) +
                            "; wanted finite values up to 2^64; chunk refused, state unchanged");
  }

  nb::object model_object_;  // keeps the model alive
  Model *model_;
  Memory memory_;
  tide_stream *stream_;
  std::atomic<bool> busy_{false};
};

}  // namespace

NB_MODULE(_kernels, m) {
  if (_import_array() < 0) throw nb::python_error();
  m.doc() = "The engine: compiled plans and their streams.";
  m.def("sizes", &sizes, nb::arg("plan"), nb::arg("lanes"), nb::arg("depth"), nb::arg("panel"),
        "Bytes of a model and a stream on a variant, features, floats of each output and state vector.");
  m.def("variants", &variants, nb::arg("supported_only") = true, "Names of the instruction-set variants, best first.");
  nb::class_<Model>(m, "Model", "A checked plan, packed for one instruction set.")
      .def(nb::init<nb::bytes, const std::string &>(), nb::arg("plan"), nb::arg("variant"))
      .def("name_outputs", &Model::name_outputs, nb::arg("names"))
      .def_prop_ro("variant", &Model::variant)
      .def_prop_ro("state_widths", &Model::state_widths);
  nb::class_<Stream>(m, "Stream", "One sequence in progress.")
      .def(nb::init<nb::object>(), nb::arg("model"))
      .def("push", &Stream::push, nb::arg("chunk"), nb::kw_only(), nb::arg("out") = nb::none())
      .def("finish", &Stream::finish)
      .def_prop_ro("finished", &Stream::finished)
      .def("reset", &Stream::reset)
      .def("snapshot", &Stream::snapshot)
      .def("restore", &Stream::restore, nb::arg("snapshot"))
      .def_prop_ro("frames", &Stream::frames)
      .def_prop_ro("refused", &Stream::refused)
      .def("states", &Stream::states);
}
