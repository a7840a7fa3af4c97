// Models, and what streams and groups share: memory, one caller at a time, texts of refusals.
#ifndef TIDE_BINDING_MODEL_H
#define TIDE_BINDING_MODEL_H

#include <nanobind/stl/array.h>
#include <nanobind/stl/tuple.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <tuple>
#include <vector>

#include "../src/kernels.h"
#include "ending.h"
#include "outputs.h"
#include "values.h"

// Not std::aligned_alloc, which Windows and macOS before 10.15 lack.
struct Free {
  void operator()(void *p) const { ::operator delete(p, std::align_val_t{TIDE_ALIGNMENT}); }
};
using Memory = std::unique_ptr<void, Free>;

inline Memory aligned(size_t bytes) { return Memory(::operator new(bytes, std::align_val_t{TIDE_ALIGNMENT})); }

// Clears memory. Through a volatile pointer, so that no compiler leaves it out because nobody reads the zeros.
inline void wipe(void *memory, size_t bytes) {
  static void *(*const volatile clear)(void *, int, size_t) = std::memset;
  clear(memory, 0, bytes);
}

inline std::vector<std::string> variants(bool supported_only) {
  std::vector<std::string> names;
  for (size_t i = 0; const tide_variant *v = tide_variant_at(i); i++) {
    if (!supported_only || tide_variant_supported(v)) names.emplace_back(tide_variant_name(v));
  }
  return names;
}

inline std::string joined(const std::vector<std::string> &names) {
  std::string text;
  for (const std::string &name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

inline const tide_variant *find_variant(const std::string &name) {
  if (name.empty()) return tide_variant_best();
  for (size_t i = 0; const tide_variant *v = tide_variant_at(i); i++) {
    if (name != tide_variant_name(v)) continue;
    if (tide_variant_supported(v)) return v;
    raise("BackendError", "instruction set '" + name + "' is in this build, but this processor lacks it; it runs " +
                              joined(variants(true)));
  }
  raise("BackendError", "instruction set '" + name + "' is not in this build, which has " + joined(variants(false)));
}

inline std::string describe_plan(const tide_fault &fault) {
  std::string where = fault.op == TIDE_NO_OP ? "plan" : "plan, operation " + std::to_string(fault.op);
  return where + ": " + fault.field + " is " + std::to_string(fault.seen) + ", wanted " + std::to_string(fault.wanted) +
         (fault.field == std::string("version") ? "; it is of another version of the format, compile it again"
                                                : "; the file is damaged, compile it again");
}

inline std::string describe_rounding() {
  return "this thread does not round to nearest, so every bit would differ: some library changed the rounding mode of "
         "its processor; set it back, fesetround(FE_TONEAREST) in C";
}

inline void check_plan(const Memory &plan, size_t bytes) {
  tide_fault fault;
  const tide_status status = tide_plan_check(plan.get(), bytes, &fault);
  if (status == TIDE_E_ROUNDING) raise("BackendError", describe_rounding());
  if (status != TIDE_OK) raise("PlanError", describe_plan(fault));
}

// Bytes of a model and of a stream, features, floats of each output and of each state vector. The variant packs weights
// by lanes, panel, depths, bytes of a weight of 8 bits and weights of a small matrix, or with zeros reads them in
// place. Nothing is run.
using Sizes = std::tuple<size_t, size_t, uint32_t, std::vector<uint32_t>, std::vector<uint32_t>>;
using Depths = std::array<std::array<uint32_t, 2>, 2>;
inline Sizes sizes(nb::bytes bytes, uint32_t lanes, uint32_t panel, const Depths &depths, uint32_t bytes8,
                   uint32_t words) {
  tide_variant variant = *tide_variant_at(variants(false).size() - 1);  // plain C, in place
  if (lanes) {
    variant.in_place = 0, variant.block = 16, variant.lanes = lanes, variant.panel = panel, variant.bytes8 = bytes8;
    variant.words = words;
    std::memcpy(variant.depths, depths.data(), sizeof variant.depths);
  }
  Memory plan = aligned(bytes.size());
  std::memcpy(plan.get(), bytes.c_str(), bytes.size());
  check_plan(plan, bytes.size());
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
  Model(nb::bytes plan, nb::str variant) : variant_(find_variant(text_of(variant))), plan_(aligned(plan.size())) {
    std::memcpy(plan_.get(), plan.c_str(), plan.size());
    check_plan(plan_, plan.size());
    memory_ = aligned(tide_model_bytes(plan_.get(), variant_));
    model_ = tide_model_init(memory_.get(), plan_.get(), variant_);
    outputs_.init(model_);
  }

  void describe_outputs(nb::handle names, nb::handle shapes) {
    outputs_.describe(list_of<std::string>(names, text_of),
                      list_of<std::vector<uint64_t>>(shapes, numbers_of<uint64_t>));
  }

  const tide_model *get() const { return model_; }
  const Outputs &outputs() const { return outputs_; }
  const void *plan() const { return plan_.get(); }
  std::string variant() const { return tide_variant_name(variant_); }
  std::vector<uint32_t> state_widths() const {
    std::vector<uint32_t> widths(tide_state_count(model_));
    for (uint32_t i = 0; i < widths.size(); i++) widths[i] = tide_state_width(model_, i);
    return widths;
  }

 private:
  const tide_variant *variant_;
  Memory plan_, memory_;
  Outputs outputs_;
  tide_model *model_;
};

// Lets other Python threads run. When the interpreter ends, a daemon thread that wants to go on sleeps until the
// process is gone, as from Python 3.14 on.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil &) = delete;
  WithoutGil &operator=(const WithoutGil &) = delete;
  ~WithoutGil() { tide_restore_thread(state_); }

 private:
  PyThreadState *state_;
};

// An object that belongs to one caller at a time.
class Owned {
 protected:
  explicit Owned(const char *name) : name_(name) {}

 private:
  friend class Turn;
  const char *name_;
  std::atomic<bool> busy_{false};
};

// Holds the object for one caller; a second caller gets an error, never a wrong answer.
class Turn {
 public:
  explicit Turn(Owned &owned) : busy_(owned.busy_) {
    if (busy_.exchange(true, std::memory_order_acquire)) {
      const std::string name = owned.name_;
      raise("BackendError", name + " is in use by another thread; give each thread a " + name + " of its own");
    }
  }
  ~Turn() { busy_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> &busy_;
};

inline std::string describe_finished() {
  return text_of(nb::module_::import_("tidegate.runtime.streams").attr("FINISHED"));
}

// Why a chunk of `count` frames was refused; it is the chunk at `place` in an array of ids or of features.
inline std::string describe_refusal(const tide_model *model, tide_status status, const nb::object &given, size_t place,
                                    size_t count) {
  if (status == TIDE_E_FINISHED) return describe_finished();
  if (status == TIDE_E_ROUNDING) return describe_rounding();
  if (status == TIDE_E_ROW) return "the row left while it was pushed";
  if (status == TIDE_E_RANGE) return "a value inside the model left 2^64 on this chunk; chunk refused, state unchanged";
  const void *values = PyArray_DATA(reinterpret_cast<PyArrayObject *>(given.ptr()));
  const uint32_t ids = tide_input_ids(model);
  const size_t width = tide_input_width(model);
  if (ids) return describe_id(static_cast<const npy_int64 *>(values) + place * count, count, ids);
  return describe_value(model, static_cast<const float *>(values) + place * count * width, count);
}

// Sets the first state vectors of a stream; None: as it is. Their sizes are checked here, their values by the engine.
inline void write_states(tide_stream *stream, const tide_model *model, const nb::list &vectors) {
  if (vectors.size() > tide_state_count(model)) throw nb::index_error();
  for (uint32_t i = 0; i < vectors.size(); i++) {
    if (vectors[i].is_none()) continue;
    const nb::object values = as_float32(vectors[i]);
    auto *array = reinterpret_cast<PyArrayObject *>(values.ptr());
    if (PyArray_SIZE(array) != tide_state_width(model, i)) throw nb::index_error();
    const tide_status status = tide_state_write(stream, i, data(values));
    if (status == TIDE_E_FINISHED) raise("StateError", describe_finished());
    if (status != TIDE_OK)
      raise("StateError", "state vector " + std::to_string(i) + " holds a value above 2^64 or NaN");
  }
}

inline std::string describe_snapshot(const tide_fault &fault) {
  const std::string field = fault.field;
  if (field == "state") {
    const auto bits = static_cast<uint32_t>(fault.seen);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return "snapshot: state holds " + std::to_string(value) + ", wanted finite values up to 2^64; stream unchanged";
  }
  const char *way_out = field == "model"     ? "it was taken of another plan, restore it there"
                        : field == "backend" ? "it was taken on another backend, restore it there"
                        : field == "version" ? "it is of another version of the format, take it again"
                                             : "it is damaged, take it again";
  return "snapshot: " + field + " is " + std::to_string(fault.seen) + ", wanted " + std::to_string(fault.wanted) +
         "; " + way_out + "; stream unchanged";
}

#endif
