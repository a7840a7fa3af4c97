// The value for which a chunk is refused, in words.
#ifndef TIDE_BINDING_VALUES_H
#define TIDE_BINDING_VALUES_H

#include <cmath>
#include <string>

#include "arrays.h"
#include "tidegate.h"

inline std::string describe_id(const npy_int64 *ids, size_t count, uint32_t rows) {
  size_t at = 0;
  while (at + 1 < count && ids[at] >= 0 && ids[at] < rows) at++;
  return "chunk holds id " + std::to_string(ids[at]) + " at frame " + std::to_string(at) + "; wanted 0 to " +
         std::to_string(rows - 1) + "; chunk refused, state unchanged";
}

// The first value that is refused: a number above 2^64, or an id that is in no table.
inline std::string describe_value(const tide_model *model, const float *frames, size_t count) {
  const size_t width = tide_input_width(model);
  const auto ids = [&](size_t at) { return tide_feature_ids(model, static_cast<uint32_t>(at % width)); };
  const auto fits = [](float x, float most) {
    return most ? x >= 0 && x < most && x == std::trunc(x) : std::fabs(x) <= 0x1p64f;
  };
  size_t at = 0;
  while (at + 1 < count * width && fits(frames[at], static_cast<float>(ids(at)))) at++;
  const std::string value = std::to_string(frames[at]), id = value.substr(0, value.find('.'));
  return "chunk holds " + (ids(at) ? "id " + id : value) + " at frame " + std::to_string(at / width) + ", feature " +
         std::to_string(at % width) + "; wanted " +
         (ids(at) ? "0 to " + std::to_string(ids(at) - 1) : "finite values up to 2^64") +
         "; chunk refused, state unchanged";
}

#endif
