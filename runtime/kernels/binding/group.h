// Groups: many streams in rows, pushed together.
#ifndef TIDE_BINDING_GROUP_H
#define TIDE_BINDING_GROUP_H

#include "model.h"

class Group : Owned {
 public:
  Group(nb::object model, uint32_t rows) : Owned("group"), model_object_(model), model_(nb::cast<Model *>(model)) {
    const size_t bytes = tide_group_bytes(model_->get(), rows);
    if (!bytes) {
      raise("UnsupportedError",
            "the model looks ahead, so its rows would answer at different times; push its streams one by one");
    }
    memory_ = aligned(bytes);
    group_ = tide_group_init(memory_.get(), model_->get(), rows);
  }

  // The next owner of the memory must not see the rows' states.
  ~Group() {
    if (group_) wipe(memory_.get(), tide_group_bytes(model_->get(), tide_group_rows(group_)));
  }

  // Pushes chunks [rows, frames, features], or ids [rows, frames], to the named rows, which the caller has checked.
  nb::object push(nb::handle chunks, nb::handle named_rows, nb::handle out) {
    const std::vector<uint32_t> rows = numbers_of<uint32_t>(named_rows);
    const bool ids = tide_input_ids(model_->get()) != 0;
    const nb::object given = ids ? as_ids(chunks, 2, "(rows, frames)") : as_float32(chunks);
    const nb::object frames = ids ? ids_as_float32(given) : given;
    const size_t count = check_shape(reinterpret_cast<PyArrayObject *>(given.ptr()), rows.size());
    std::vector<nb::object> answers;
    std::vector<float *> outputs;
    for (size_t i = 0; i < model_->outputs().count(); i++) {
      const npy_intp named = static_cast<npy_intp>(rows.size());
      answers.push_back(out.is_none() ? model_->outputs().fresh(i, count, {named})
                                      : model_->outputs().checked(out, i, count, {named}));
      outputs.push_back(data(answers.back()));
    }
    std::vector<tide_status> statuses(rows.size(), TIDE_OK);
    const nb::object apart = out.is_none() ? frames : without_overlap(frames, answers[0]);
    const nb::object all = model_->outputs().by_name(answers);  // before the states change
    const tide_status status = run(apart, rows, count, outputs, statuses);
    if (status != TIDE_OK) refuse(all, rows, statuses, given, count);
    return all;
  }

  void join(uint32_t row) {
    Turn turn(*this);
    tide_group_join(group_, checked(row));
  }

  void leave(uint32_t row) {
    Turn turn(*this);
    tide_group_leave(group_, checked(row));
  }

  void reset(uint32_t row) {
    Turn turn(*this);
    tide_reset(stream(row));
  }

  nb::bytes snapshot(uint32_t row) {
    Turn turn(*this);
    std::string bytes(tide_snapshot_bytes(model_->get()), '\0');
    return nb::bytes(bytes.data(), tide_snapshot(stream(row), bytes.data()));
  }

  void restore(uint32_t row, nb::bytes snapshot) {
    Turn turn(*this);
    tide_fault fault;
    if (tide_restore(stream(row), snapshot.c_str(), snapshot.size(), &fault) != TIDE_OK)
      raise("SnapshotError", describe_snapshot(fault));
  }

  uint64_t frames(uint32_t row) {
    Turn turn(*this);
    return tide_frames(stream(row));
  }

  uint64_t refused(uint32_t row) {
    Turn turn(*this);
    return tide_refused(stream(row));
  }

  nb::list states(uint32_t row) {
    Turn turn(*this);
    nb::list all;
    for (uint32_t i = 0; i < tide_state_count(model_->get()); i++) {
      npy_intp size = tide_state_width(model_->get(), i);
      nb::object values = new_array(1, &size);
      tide_state_read(stream(row), i, data(values));
      all.append(values);
    }
    return all;
  }

  void write_states(uint32_t row, const nb::list &vectors) {
    Turn turn(*this);
    ::write_states(stream(row), model_->get(), vectors);
  }

 private:
  uint32_t checked(uint32_t row) const {
    if (row >= tide_group_rows(group_)) throw nb::index_error();
    return row;
  }

  tide_stream *stream(uint32_t row) const { return tide_group_stream(group_, checked(row)); }

  // Returns the number of frames of a row.
  size_t check_shape(PyArrayObject *chunks, size_t rows) const {
    const bool ids = tide_input_ids(model_->get()) != 0;
    const npy_intp width = tide_input_width(model_->get()), named = static_cast<npy_intp>(rows);
    const bool fits = ids || (PyArray_NDIM(chunks) == 3 && PyArray_DIM(chunks, 2) == width);
    if (fits && PyArray_DIM(chunks, 0) == named) return static_cast<size_t>(PyArray_DIM(chunks, 1));
    const std::string wanted = "(" + std::to_string(rows) + " rows, frames" + (ids ? "" : ", " + std::to_string(width));
    raise("ChunkError", "chunks has shape " + shape_of(chunks) + ", wanted " + wanted + ")");
  }

  tide_status run(const nb::object &frames, const std::vector<uint32_t> &rows, size_t count,
                  const std::vector<float *> &outputs, std::vector<tide_status> &statuses) {
    Turn turn(*this);
    WithoutGil others;
    return tide_group_push(group_, rows.data(), rows.size(), data(frames), count, outputs.data(), statuses.data());
  }

  [[noreturn]] void refuse(const nb::object &answers, const std::vector<uint32_t> &rows,
                           const std::vector<tide_status> &statuses, const nb::object &given, size_t count) const {
    nb::dict refused;
    for (size_t i = 0; i < rows.size(); i++) {
      if (statuses[i] == TIDE_OK) continue;
      refused[nb::int_(rows[i])] = python_text(describe_refusal(model_->get(), statuses[i], given, i, count));
    }
    const nb::object type = nb::module_::import_("tidegate.runtime.errors").attr("RefusedRowsError");
    const nb::object error = type(answers, refused, rows.size());
    PyErr_SetObject(type.ptr(), error.ptr());
    throw nb::python_error();
  }

  nb::object model_object_;  // keeps the model alive
  Model *model_;
  Memory memory_;
  tide_group *group_ = nullptr;
};

#endif
