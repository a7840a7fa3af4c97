// The outputs of a model: their names, and arrays for their answers.
#ifndef TIDE_BINDING_OUTPUTS_H
#define TIDE_BINDING_OUTPUTS_H

#include <nanobind/stl/vector.h>

#include <array>
#include <vector>

#include "arrays.h"
#include "tidegate.h"

class Outputs {
 public:
  // As long as nothing else is known, an answer has one axis, of features.
  void init(const tide_model *model) {
    for (uint32_t i = 0; i < tide_output_count(model); i++)
      all_.push_back({"", tide_output_timed(model, i) != 0, 1, {static_cast<npy_intp>(tide_output_width(model, i))}});
  }

  // What the text of the plan says. No shape: as it is.
  void describe(const std::vector<std::string> &names, const std::vector<std::vector<uint64_t>> &shapes) {
    if (names.size() != all_.size() || (!shapes.empty() && shapes.size() != all_.size())) {
      raise("PlanError", "plan: " + std::to_string(names.size()) + " output names and " +
                             std::to_string(shapes.size()) + " shapes for " + std::to_string(all_.size()) +
                             " outputs; compile it again");
    }
    for (size_t i = 0; i < names.size(); i++) all_[i].name = names[i];
    for (size_t i = 0; i < shapes.size(); i++) set_shape(all_[i], shapes[i]);
  }

  size_t count() const { return all_.size(); }
  bool timed(size_t output) const { return all_[output].timed; }

  // An array for the answers of an output: [ahead, frames, shape] with a time axis; else [ahead, shape], without a
  // frame with 0 for the first axis of the shape. `ahead` are the axes before the frames.
  nb::object fresh(size_t output, size_t frames, std::initializer_list<npy_intp> ahead = {}) const {
    Sizes sizes;
    const int axes = fill(sizes, all_[output], frames, ahead);
    return new_array(axes, sizes.data());
  }

  // The array `out`, if it can take these answers.
  nb::object checked(nb::handle out, size_t output, size_t frames, std::initializer_list<npy_intp> ahead = {}) const {
    if (all_.size() > 1) raise("ChunkError", "out is for models with one output; this one has several");
    Sizes sizes;
    const int axes = fill(sizes, all_[output], frames, ahead);
    return as_out(out, axes, sizes.data());
  }

  // Answers as a user gets them: the array of the only output, or a dict by name.
  nb::object by_name(const std::vector<nb::object> &answers) const {
    if (answers.size() == 1) return answers[0];
    nb::dict named;
    for (size_t i = 0; i < answers.size(); i++) named[all_[i].name.c_str()] = answers[i];
    return named;
  }

 private:
  static constexpr int most_axes = 8;
  using Sizes = std::array<npy_intp, most_axes + 2>;

  struct Output {
    std::string name;
    bool timed;
    int axes;
    std::array<npy_intp, most_axes> shape;  // of one answer
  };

  static void set_shape(Output &output, const std::vector<uint64_t> &shape) {
    const auto width = static_cast<uint64_t>(output.shape[0]);
    uint64_t product = shape.size() <= most_axes;
    for (const uint64_t size : shape) product = size <= width && product <= width ? product * size : 0;
    if (product != width) {
      raise("PlanError", "plan: the shape of output '" + output.name + "' does not hold its " + std::to_string(width) +
                             " values; the file is damaged, compile it again");
    }
    output.axes = static_cast<int>(shape.size());
    for (size_t i = 0; i < shape.size(); i++) output.shape[i] = static_cast<npy_intp>(shape[i]);
  }

  static int fill(Sizes &sizes, const Output &output, size_t frames, std::initializer_list<npy_intp> ahead) {
    int axes = 0;
    for (const npy_intp size : ahead) sizes[axes++] = size;
    if (output.timed || !frames) sizes[axes++] = static_cast<npy_intp>(frames);
    for (int i = !output.timed && !frames; i < output.axes; i++) sizes[axes++] = output.shape[i];
    return axes;
  }

  std::vector<Output> all_;
};

#endif
