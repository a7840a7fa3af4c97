/* The c of an LSTM after the last frame of each push. It runs on the state of its input's layer: see run.c. */
#include "../src/operators.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  return (plan_shape){.width = op->counts[0], .clock = in[0].clock};
}

const tide_operator tide_operator_last_cell = {
    .name = "last_cell", .inputs = 1, .bounded = 1, .of_layer = 1, .shape = shape, .check = plan_timed};
