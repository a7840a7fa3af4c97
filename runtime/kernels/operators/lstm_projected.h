/* The gates of lstm_projected.c. */
#ifndef TIDE_LSTM_PROJECTED_H
#define TIDE_LSTM_PROJECTED_H

#include "../src/functions.h"

/* The equations of the ONNX LSTM up to o * tanh(c), which is written to `outputs`. Gate order: i, o, f, c. */
static inline void update_units(const float *gates_x, const float *gates_h, size_t units, float *c, float *outputs) {
  for (size_t i = 0; i < units; i++) {
    const float input_gate = tide_sigmoid(gates_x[i] + gates_h[i]);
    const float output_gate = tide_sigmoid(gates_x[units + i] + gates_h[units + i]);
    const float forget_gate = tide_sigmoid(gates_x[2 * units + i] + gates_h[2 * units + i]);
    const float candidate = tide_tanh(gates_x[3 * units + i] + gates_h[3 * units + i]);
    c[i] = tide_flush(forget_gate * c[i] + input_gate * candidate);
    outputs[i] = output_gate * tide_tanh(c[i]);
  }
}

#endif
