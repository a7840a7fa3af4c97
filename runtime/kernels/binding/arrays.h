// Arrays in the form that the engine takes, and errors of Python.
// Arrays go through numpy's own C API: with nanobind's ndarray a call takes 0.5 us more.
#ifndef TIDE_BINDING_ARRAYS_H
#define TIDE_BINDING_ARRAYS_H

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <numpy/arrayobject.h>

#include <string>
#include <vector>

namespace nb = nanobind;

[[noreturn]] inline void raise(const char *error, const std::string &message) {
  nb::object type = nb::module_::import_("tidegate.runtime.errors").attr(error);
  PyErr_SetString(type.ptr(), message.c_str());
  throw nb::python_error();
}

// Text and lists of Python in C++. nanobind's own casters may not throw: where memory is at an end, they end the
// process.
inline std::string text_of(nb::handle object) {
  Py_ssize_t size;
  const char *bytes = PyUnicode_AsUTF8AndSize(object.ptr(), &size);
  if (!bytes) throw nb::python_error();
  return {bytes, static_cast<size_t>(size)};
}

inline nb::object python_text(const std::string &text) {
  nb::object made = nb::steal(PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
  if (!made.is_valid()) throw nb::python_error();
  return made;
}

template <typename T>
std::vector<T> list_of(nb::handle sequence, T (*one)(nb::handle)) {
  nb::object items = nb::steal(PySequence_Tuple(sequence.ptr()));
  if (!items.is_valid()) throw nb::python_error();
  std::vector<T> found;
  const Py_ssize_t count = PyTuple_Size(items.ptr());
  for (Py_ssize_t i = 0; i < count; i++) found.push_back(one(PyTuple_GetItem(items.ptr(), i)));
  return found;
}

template <typename T>
T number_of(nb::handle object) {
  return nb::cast<T>(object);
}

template <typename T>
std::vector<T> numbers_of(nb::handle sequence) {
  return list_of<T>(sequence, number_of<T>);
}

inline float *data(const nb::object &array) {
  if (array.is_none()) return nullptr;
  return static_cast<float *>(PyArray_DATA(reinterpret_cast<PyArrayObject *>(array.ptr())));
}

inline nb::object new_array(int dimensions, npy_intp *sizes) {
  nb::object array = nb::steal(PyArray_SimpleNew(dimensions, sizes, NPY_FLOAT));
  if (!array.is_valid()) throw nb::python_error();
  return array;
}

inline std::string shape_of(PyArrayObject *array) {
  std::string text = "(";
  for (int i = 0; i < PyArray_NDIM(array); i++) text += (i ? ", " : "") + std::to_string(PyArray_DIM(array, i));
  return text + ")";
}

inline bool is_plain_float32(PyObject *object) {
  if (!PyArray_Check(object)) return false;
  auto *array = reinterpret_cast<PyArrayObject *>(object);
  return PyArray_TYPE(array) == NPY_FLOAT && PyArray_ISCARRAY_RO(array);
}

// The chunk as a C-contiguous float32 array: itself, or converted.
inline nb::object as_float32(nb::handle chunk) {
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

// Ids as int64, of `dimensions` dimensions; `wanted` describes them in errors.
inline nb::object as_ids(nb::handle chunk, int dimensions, const char *wanted) {
  nb::object any = nb::steal(PyArray_FromAny(chunk.ptr(), nullptr, 0, 0, 0, nullptr));
  if (!any.is_valid()) throw nb::python_error();
  auto *array = reinterpret_cast<PyArrayObject *>(any.ptr());
  if (!PyTypeNum_ISINTEGER(PyArray_TYPE(array))) {
    nb::object dtype = any.attr("dtype");
    raise("ChunkError", std::string("chunk has dtype ") + nb::str(dtype).c_str() + ", wanted ids, which are integers");
  }
  if (PyArray_NDIM(array) != dimensions) {
    raise("ChunkError", "chunk has shape " + shape_of(array) + ", wanted ids " + wanted);
  }
  nb::object ids =
      nb::steal(PyArray_FromArray(array, PyArray_DescrFromType(NPY_INT64), NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST));
  if (!ids.is_valid()) throw nb::python_error();
  return ids;
}

// Ids as the engine takes them, floats `[ids, 1]`. An id that is not exact as a float is in no table either.
inline nb::object ids_as_float32(const nb::object &ids) {
  auto *array = reinterpret_cast<PyArrayObject *>(ids.ptr());
  npy_intp sizes[2] = {PyArray_SIZE(array), 1};
  nb::object floats = nb::steal(PyArray_SimpleNew(2, sizes, NPY_FLOAT));
  if (!floats.is_valid()) throw nb::python_error();
  const auto *from = static_cast<const npy_int64 *>(PyArray_DATA(array));
  auto *to = static_cast<float *>(PyArray_DATA(reinterpret_cast<PyArrayObject *>(floats.ptr())));
  for (npy_intp i = 0; i < sizes[0]; i++) to[i] = static_cast<float>(from[i]);
  return floats;
}

// The array `out`, if an answer of this shape can be written to it.
inline nb::object as_out(nb::handle out, int dimensions, const npy_intp *sizes) {
  if (!is_plain_float32(out.ptr())) raise("ChunkError", "out is not a C-contiguous float32 array");
  auto *array = reinterpret_cast<PyArrayObject *>(out.ptr());
  if (!PyArray_ISWRITEABLE(array)) raise("ChunkError", "out is read-only");
  bool same = PyArray_NDIM(array) == dimensions;
  std::string wanted;
  for (int i = 0; i < dimensions; i++) {
    same = same && PyArray_DIM(array, i) == sizes[i];
    wanted += (i ? ", " : "") + std::to_string(sizes[i]);
  }
  if (!same) {
    raise("ChunkError", "out has shape " + shape_of(array) + ", wanted (" + wanted + (dimensions > 1 ? ")" : ",)"));
  }
  return nb::borrow(out);
}

// The frames, copied if the answers go to memory that they share: an early answer would overwrite a later frame.
inline nb::object without_overlap(const nb::object &frames, const nb::object &answers) {
  auto *array = reinterpret_cast<PyArrayObject *>(frames.ptr());
  const auto from = reinterpret_cast<uintptr_t>(data(frames)), to = reinterpret_cast<uintptr_t>(data(answers));
  const auto read = static_cast<uintptr_t>(PyArray_NBYTES(array));
  const auto written = static_cast<uintptr_t>(PyArray_NBYTES(reinterpret_cast<PyArrayObject *>(answers.ptr())));
  if (from + read <= to || to + written <= from) return frames;
  nb::object copy = nb::steal(PyArray_NewCopy(array, NPY_CORDER));
  if (!copy.is_valid()) throw nb::python_error();
  return copy;
}

#endif
