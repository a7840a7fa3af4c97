// A stack of LSTM layers on oneDNN's primitive, states carried: float32, or u8 data with s8 weights.
// Weights come one layer after the other: weight_ih, weight_hh, bias_ih, bias_hh in PyTorch's order i, f, g, o.
#include <dnnl.hpp>

#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

using namespace dnnl;
using dims = memory::dims;
using tag = memory::format_tag;
using type = memory::data_type;

namespace {

struct Layer {
  lstm_forward primitive;
  std::unordered_map<int, memory> arguments;
};

struct Stack {
  engine cpu{engine::kind::cpu, 0};
  stream queue{cpu};
  std::vector<Layer> layers;
  std::vector<reorder> none;
  memory input, output, quantized;
  std::unique_ptr<reorder> quantize;
  size_t input_bytes, output_bytes;
};

memory filled(const engine &cpu, const memory::desc &form, const float *values) {
  memory made(form, cpu);
  std::memcpy(made.get_data_handle(), values, form.get_size());
  return made;
}

// PyTorch's [4 H, K] as oneDNN's ldigo [1, 1, K, 4, H], which has gates in the order i, f, c, o: the same.
std::vector<float> turned(const float *rows, memory::dim hidden, memory::dim columns) {
  std::vector<float> out(static_cast<size_t>(4 * hidden * columns));
  for (memory::dim r = 0; r < 4 * hidden; r++)
    for (memory::dim k = 0; k < columns; k++) out[static_cast<size_t>(k * 4 * hidden + r)] = rows[r * columns + k];
  return out;
}

memory reordered(Stack &stack, memory from, const memory::desc &form, const primitive_attr &attributes) {
  memory to(form, stack.cpu);
  reorder(reorder::primitive_desc(stack.cpu, from.get_desc(), stack.cpu, form, attributes)).execute(stack.queue, from, to);
  stack.queue.wait();
  return to;
}

std::vector<float> weight_scales(const float *rows, memory::dim hidden, memory::dim columns, const float *others, memory::dim more) {
  std::vector<float> scales;  // one for both matrices of a gate row, as the primitive wants it
  for (memory::dim r = 0; r < 4 * hidden; r++) {
    float most = 1e-9f;
    for (memory::dim k = 0; k < columns; k++) most = std::max(most, std::abs(rows[r * columns + k]));
    for (memory::dim k = 0; k < more; k++) most = std::max(most, std::abs(others[r * more + k]));
    scales.push_back(127.0f / most);
  }
  return scales;
}

}  // namespace

extern "C" void *open_stack(const char *weights, int features, int hidden, int layers, int steps, int int8, float scale,
                            float shift) try {
  auto stack = std::make_unique<Stack>();
  const memory::dim T = steps, H = hidden;
  const float *at = reinterpret_cast<const float *>(weights);
  const type data = int8 ? type::u8 : type::f32;
  memory previous;
  for (int n = 0; n < layers; n++) {
    const memory::dim K = n ? H : features;
    const float *w = at, *r = w + 4 * H * K, *b = r + 4 * H * H, *b2 = b + 4 * H;
    at = b2 + 4 * H;
    std::vector<float> bias(static_cast<size_t>(4 * H));
    for (size_t i = 0; i < bias.size(); i++) bias[i] = b[i] + b2[i];
    primitive_attr attributes, weight_attributes;
    if (int8) {
      attributes.set_rnn_data_qparams(scale, shift);
      const auto scales = weight_scales(w, H, K, r, H);
      attributes.set_rnn_weights_qparams((1 << 3) + (1 << 4), scales);
      weight_attributes.set_rnn_weights_qparams((1 << 3) + (1 << 4), scales);
    }
    const auto last = n == layers - 1;
    const type out = int8 && last ? type::f32 : data;
    const memory::desc source({T, 1, K}, data, tag::tnc), target({T, 1, H}, out, tag::tnc);
    const memory::desc states({1, 1, 1, H}, type::f32, tag::ldnc), h_states({1, 1, 1, H}, data, tag::ldnc);
    const memory::desc any_w({1, 1, K, 4, H}, int8 ? type::s8 : type::f32, tag::any);
    const memory::desc any_r({1, 1, H, 4, H}, int8 ? type::s8 : type::f32, tag::any);
    const memory::desc bias_form({1, 1, 4, H}, type::f32, tag::ldgo);
    const lstm_forward::primitive_desc form(stack->cpu, prop_kind::forward_inference,
                                            rnn_direction::unidirectional_left2right, source, h_states, states, any_w,
                                            any_r, bias_form, target, h_states, states, attributes);
    const auto turned_w = turned(w, H, K), turned_r = turned(r, H, H);
    memory plain_w = filled(stack->cpu, {{1, 1, K, 4, H}, type::f32, tag::ldigo}, turned_w.data());
    memory plain_r = filled(stack->cpu, {{1, 1, H, 4, H}, type::f32, tag::ldigo}, turned_r.data());
    memory h(h_states, stack->cpu), c(states, stack->cpu);
    std::memset(h.get_data_handle(), int8 ? static_cast<int>(shift) : 0, h_states.get_size());
    std::memset(c.get_data_handle(), 0, states.get_size());
    memory from = n ? previous : memory(source, stack->cpu), to(target, stack->cpu);
    if (!n) stack->quantized = from;
    // States in place: what a step writes the next one reads.
    stack->layers.push_back({lstm_forward(form),
                             {{DNNL_ARG_SRC_LAYER, from},
                              {DNNL_ARG_SRC_ITER, h},
                              {DNNL_ARG_SRC_ITER_C, c},
                              {DNNL_ARG_WEIGHTS_LAYER, reordered(*stack, plain_w, form.weights_layer_desc(), int8 ? attributes : weight_attributes)},
                              {DNNL_ARG_WEIGHTS_ITER, reordered(*stack, plain_r, form.weights_iter_desc(), int8 ? attributes : weight_attributes)},
                              {DNNL_ARG_BIAS, filled(stack->cpu, bias_form, bias.data())},
                              {DNNL_ARG_DST_LAYER, to},
                              {DNNL_ARG_DST_ITER, h},
                              {DNNL_ARG_DST_ITER_C, c}}});
    previous = to;
  }
  stack->output = previous;
  stack->input = memory({{T, 1, features}, type::f32, tag::tnc}, stack->cpu);
  if (int8) {
    primitive_attr attributes;
    attributes.set_rnn_data_qparams(scale, shift);
    stack->quantize = std::make_unique<reorder>(reorder::primitive_desc(
        stack->cpu, stack->input.get_desc(), stack->cpu, stack->quantized.get_desc(), attributes));
  } else {
    stack->input = stack->quantized;
  }
  stack->input_bytes = sizeof(float) * static_cast<size_t>(T * features);
  stack->output_bytes = sizeof(float) * static_cast<size_t>(T * H);
  return stack.release();
} catch (const dnnl::error &) {
  return nullptr;
}

extern "C" void step(void *opened, const float *x, float *y) {
  Stack &stack = *static_cast<Stack *>(opened);
  std::memcpy(stack.input.get_data_handle(), x, stack.input_bytes);
  if (stack.quantize) stack.quantize->execute(stack.queue, stack.input, stack.quantized);
  for (Layer &layer : stack.layers) layer.primitive.execute(stack.queue, layer.arguments);
  stack.queue.wait();
  std::memcpy(y, stack.output.get_data_handle(), stack.output_bytes);
}
