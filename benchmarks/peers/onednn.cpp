// A stack of recurrent layers on oneDNN's primitives. It carries its states. float32, or u8 data with s8 weights.
// Weights come one layer after the other: those of the input, those of h, the biases, with gates in the primitive's
// order.
#include <dnnl.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

using namespace dnnl;
using tag = memory::format_tag;
using type = memory::data_type;
using dim = memory::dim;

namespace {

// A layer has two sets of states: one step writes a set, the next step reads it. With one set, a primitive may read a
// value that it has just written; the plain RNN's primitive does.
struct Layer {
  primitive made;
  std::unordered_map<int, memory> arguments[2];
};

struct Stack {
  engine cpu{engine::kind::cpu, 0};
  stream queue{cpu};
  std::vector<Layer> layers;
  memory input, output, quantized;
  std::unique_ptr<reorder> quantize;
  size_t input_bytes, output_bytes;
  int turn = 0;
};

// The number of gates and of biases per unit. A GRU has a second bias for the candidate, inside the reset gate's product.
struct Cell {
  std::string name;
  dim gates, biases;
};

const Cell cells[] = {{"LSTM", 4, 4}, {"GRU", 3, 4}, {"RNN", 1, 1}};

memory filled(const engine &cpu, const memory::desc &form, const float *values) {
  memory made(form, cpu);
  std::memcpy(made.get_data_handle(), values, form.get_size());
  return made;
}

// Returns a matrix [gates H, K] in oneDNN's layout ldigo [1, 1, K, gates, H].
std::vector<float> turned(const float *values, dim rows, dim columns) {
  std::vector<float> out(static_cast<size_t>(rows * columns));
  for (dim r = 0; r < rows; r++)
    for (dim k = 0; k < columns; k++) out[static_cast<size_t>(k * rows + r)] = values[r * columns + k];
  return out;
}

// Returns one scale per channel for both matrices, as the primitive requires.
std::vector<float> weight_scales(const float *w, dim columns, const float *r, dim hidden, dim rows) {
  std::vector<float> scales;
  for (dim row = 0; row < rows; row++) {
    float most = 1e-9f;
    for (dim k = 0; k < columns; k++) most = std::max(most, std::abs(w[row * columns + k]));
    for (dim k = 0; k < hidden; k++) most = std::max(most, std::abs(r[row * hidden + k]));
    scales.push_back(127.0f / most);
  }
  return scales;
}

memory reordered(Stack &stack, const float *values, dim rows, dim columns, dim gates, const memory::desc &form,
                 const primitive_attr &attributes) {
  const auto plain = turned(values, rows, columns);
  memory from = filled(stack.cpu, {{1, 1, columns, gates, rows / gates}, type::f32, tag::ldigo}, plain.data());
  memory to(form, stack.cpu);
  reorder(reorder::primitive_desc(stack.cpu, from.get_desc(), stack.cpu, form, attributes))
      .execute(stack.queue, from, to);
  stack.queue.wait();
  return to;
}

// A layer's primitive with its description.
struct Made {
  primitive made;
  rnn_primitive_desc_base form;
};

Made layer_of(const Stack &stack, const Cell &cell, const memory::desc &source, const memory::desc &h,
              const memory::desc &c, const memory::desc &w, const memory::desc &r, const memory::desc &bias,
              const memory::desc &target, const primitive_attr &attributes) {
  const auto kind = prop_kind::forward_inference;
  const auto way = rnn_direction::unidirectional_left2right;
  if (cell.name == "LSTM") {
    lstm_forward::primitive_desc form(stack.cpu, kind, way, source, h, c, w, r, bias, target, h, c, attributes);
    return {lstm_forward(form), form};
  }
  if (cell.name == "GRU") {
    lbr_gru_forward::primitive_desc form(stack.cpu, kind, way, source, h, w, r, bias, target, h, attributes);
    return {lbr_gru_forward(form), form};
  }
  vanilla_rnn_forward::primitive_desc form(stack.cpu, kind, algorithm::eltwise_tanh, way, source, h, w, r, bias, target,
                                           h, attributes);
  return {vanilla_rnn_forward(form), form};
}

}  // namespace

extern "C" void *open_stack(const char *name, const char *weights, int features, int hidden, int layers, int steps,
                            int int8, float scale, float shift) try {
  auto stack = std::make_unique<Stack>();
  const Cell &cell =
      *std::find_if(std::begin(cells), std::end(cells), [&](const Cell &one) { return one.name == name; });
  const dim T = steps, H = hidden, G = cell.gates, rows = G * H;
  const float *at = reinterpret_cast<const float *>(weights);
  const type data = int8 ? type::u8 : type::f32;
  memory previous;
  for (int n = 0; n < layers; n++) {
    const dim K = n ? H : features;
    const float *w = at, *r = w + rows * K, *b = r + rows * H;
    at = b + cell.biases * H;
    primitive_attr attributes;
    if (int8) {
      attributes.set_rnn_data_qparams(scale, shift);
      attributes.set_rnn_weights_qparams((1 << 3) + (1 << 4), weight_scales(w, K, r, H, rows));
    }
    const type out = int8 && n == layers - 1 ? type::f32 : data, held = int8 ? type::s8 : type::f32;
    const memory::desc source({T, 1, K}, data, tag::tnc), target({T, 1, H}, out, tag::tnc);
    const memory::desc c_form({1, 1, 1, H}, type::f32, tag::ldnc), h_form({1, 1, 1, H}, data, tag::ldnc);
    const memory::desc any_w({1, 1, K, G, H}, held, tag::any), any_r({1, 1, H, G, H}, held, tag::any);
    const memory::desc bias_form({1, 1, cell.biases, H}, type::f32, tag::ldgo);
    const Made made = layer_of(*stack, cell, source, h_form, c_form, any_w, any_r, bias_form, target, attributes);
    memory h[2], c[2];
    for (int one = 0; one < 2; one++) {
      h[one] = memory(h_form, stack->cpu);
      c[one] = memory(c_form, stack->cpu);
      std::memset(h[one].get_data_handle(), int8 ? static_cast<int>(shift) : 0, h_form.get_size());
      std::memset(c[one].get_data_handle(), 0, c_form.get_size());
    }
    memory from = n ? previous : memory(source, stack->cpu), to(target, stack->cpu);
    if (!n) stack->quantized = from;
    const memory held_w = reordered(*stack, w, rows, K, G, made.form.weights_layer_desc(), attributes);
    const memory held_r = reordered(*stack, r, rows, H, G, made.form.weights_iter_desc(), attributes);
    const memory held_b = filled(stack->cpu, bias_form, b);
    Layer layer{made.made, {}};
    for (int turn = 0; turn < 2; turn++) {
      auto &arguments = layer.arguments[turn];
      arguments = {{DNNL_ARG_SRC_LAYER, from},      {DNNL_ARG_WEIGHTS_LAYER, held_w}, {DNNL_ARG_BIAS, held_b},
                   {DNNL_ARG_SRC_ITER, h[turn]},    {DNNL_ARG_WEIGHTS_ITER, held_r},  {DNNL_ARG_DST_LAYER, to},
                   {DNNL_ARG_DST_ITER, h[1 - turn]}};
      if (cell.name == "LSTM") arguments.insert({{DNNL_ARG_SRC_ITER_C, c[turn]}, {DNNL_ARG_DST_ITER_C, c[1 - turn]}});
    }
    stack->layers.push_back(layer);
    previous = to;
  }
  stack->output = previous;
  stack->input = memory({{T, 1, features}, type::f32, tag::tnc}, stack->cpu);
  if (int8) {
    primitive_attr attributes;
    attributes.set_rnn_data_qparams(scale, shift);
    stack->quantize = std::make_unique<reorder>(reorder::primitive_desc(stack->cpu, stack->input.get_desc(), stack->cpu,
                                                                        stack->quantized.get_desc(), attributes));
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
  for (Layer &layer : stack.layers) layer.made.execute(stack.queue, layer.arguments[stack.turn]);
  stack.turn = 1 - stack.turn;
  stack.queue.wait();
  std::memcpy(y, stack.output.get_data_handle(), stack.output_bytes);
}
