// A stack of recurrent layers on RTNeural's templates: float32, every size a constant. It carries its states.
// The command that compiles it defines CELL (LSTMLayerT or GRULayerT), FEATURES, HIDDEN, LAYERS and RTNeural's backend.
// Weights come layer by layer in PyTorch's layout: w, r, then the two biases.
#include <RTNeural/RTNeural.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace {

template <int In>
using Layer = RTNeural::CELL<float, In, HIDDEN>;

template <size_t>
using Upper = Layer<HIDDEN>;

template <size_t... I>
auto stack(std::index_sequence<I...>) -> RTNeural::ModelT<float, FEATURES, HIDDEN, Layer<FEATURES>, Upper<I>...>;

using Model = decltype(stack(std::make_index_sequence<LAYERS - 1>{}));
using Rows = std::vector<std::vector<float>>;

constexpr bool gru = std::is_same_v<Layer<HIDDEN>, RTNeural::GRULayerT<float, HIDDEN, HIDDEN>>;
constexpr int rows = (gru ? 3 : 4) * HIDDEN;

alignas(RTNEURAL_DEFAULT_ALIGNMENT) Model model;

// RTNeural has PyTorch's gates but for a GRU, whose first two it has the other way round.
int place(int row) { return gru && row < 2 * HIDDEN ? (row + HIDDEN) % (2 * HIDDEN) : row; }

const float *take(const float *from, int columns, Rows &to) {
  to.assign(static_cast<size_t>(columns), std::vector<float>(rows));
  for (int row = 0; row < rows; row++)
    for (int k = 0; k < columns; k++) to[static_cast<size_t>(k)][static_cast<size_t>(place(row))] = *from++;
  return from;
}

template <typename L>
const float *fill(L &layer, int features, const float *from) {
  Rows w, r, bias_w, bias_r;
  from = take(take(take(take(from, features, w), HIDDEN, r), 1, bias_w), 1, bias_r);
  layer.setWVals(w);
  layer.setUVals(r);
  if constexpr (gru) {
    layer.setBVals(Rows{bias_w[0], bias_r[0]});
  } else {
    std::transform(bias_w[0].begin(), bias_w[0].end(), bias_r[0].begin(), bias_w[0].begin(), std::plus<float>());
    layer.setBVals(bias_w[0]);
  }
  return from;
}

template <size_t... I>
void fill_all(const float *from, std::index_sequence<I...>) {
  ((from = fill(model.get<I>(), I == 0 ? FEATURES : HIDDEN, from)), ...);
}

}  // namespace

extern "C" void open_stack(const float *weights) {
  fill_all(weights, std::make_index_sequence<LAYERS>{});
  model.reset();
}

extern "C" void step(const float *in, float *out, int frames) {
  alignas(RTNEURAL_DEFAULT_ALIGNMENT) float frame[(FEATURES + 15) / 16 * 16] = {};
  for (; frames > 0; frames--, in += FEATURES, out += HIDDEN) {
    std::copy(in, in + FEATURES, frame);
    model.forward(frame);
    std::copy(model.getOutputs(), model.getOutputs() + HIDDEN, out);
  }
}
