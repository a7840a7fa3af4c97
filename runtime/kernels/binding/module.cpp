// The Python face of the engine: checks arrays, releases the GIL, calls, turns a status into an exception.
#include "group.h"
#include "model.h"
#include "stream.h"

namespace {

// What the protocol Stream of runtime/streams.py says of a member: documentation is written once, there. Empty under
// `python -OO`, which strips it.
std::string said_of(const char *member) {
  const nb::object stream = nb::module_::import_("tidegate.runtime.streams").attr("Stream");
  const nb::object text = nb::module_::import_("inspect").attr("getdoc")(stream.attr(member));
  return text.is_none() ? "" : nb::cast<std::string>(text);
}

// Whether a weight of a model is stored in integer codes. Matrices that an operator does not have are 0 bits wide.
bool quantized(const Model &model) {
  const plan_header header = plan_read_header(model.plan());
  for (uint32_t i = 0; i < header.ops; i++) {
    const plan_op op = plan_read_op(&header, i);
    for (const plan_matrix &m : op.matrices) {
      if (m.weight_bits && m.weight_bits != WEIGHT_FLOAT) return true;
    }
  }
  return false;
}

}  // namespace

NB_MODULE(_kernels, m) {
  if (_import_array() < 0) throw nb::python_error();
  nb::set_leak_warnings(false);  // a daemon thread that streams when the interpreter ends keeps its stream
  m.doc() = "The engine: compiled plans and their streams.";
  m.def("sizes", &sizes, nb::arg("plan"), nb::arg("lanes"), nb::arg("panel"), nb::arg("depths"), nb::arg("bytes8"),
        nb::arg("words"),
        "Bytes of a model and a stream on a variant, features, floats of each output and state vector.");
  m.def("variants", &variants, nb::arg("supported_only") = true, "Names of the instruction-set variants, best first.");
  nb::class_<Model>(m, "Model", "A checked plan, packed for one instruction set.")
      .def(nb::init<nb::bytes, nb::str>(), nb::arg("plan"), nb::arg("variant"))
      .def("describe_outputs", &Model::describe_outputs, nb::arg("names"), nb::arg("shapes"),
           nb::sig("def describe_outputs(self, names: Sequence[str], shapes: Sequence[Sequence[int]]) -> None"))
      .def_prop_ro("variant", &Model::variant)
      .def_prop_ro("quantized", &quantized)
      .def_prop_ro("features",
                   [](const Model &model) { return tide_input_ids(model.get()) ? 0 : tide_input_width(model.get()); })
      .def_prop_ro("outputs", [](const Model &model) { return model.outputs().count(); })
      .def_prop_ro("state_widths", &Model::state_widths);
  nb::class_<Stream>(m, "Stream", "One sequence in progress.")
      .def(nb::init<nb::object>(), nb::arg("model"), nb::sig("def __init__(self, model: Model) -> None"))
      .def("push", &Stream::push, nb::arg("chunk").none(), nb::kw_only(), nb::arg("out") = nb::none(),
           nb::sig("def push(self, chunk: Chunk, *, out: Array | None = None) -> Answer"), said_of("push").c_str())
      .def("finish", &Stream::finish, nb::sig("def finish(self) -> Answer | None"), said_of("finish").c_str())
      .def_prop_ro("finished", &Stream::finished, said_of("finished").c_str())
      .def("reset", &Stream::reset, said_of("reset").c_str())
      .def("snapshot", &Stream::snapshot, said_of("snapshot").c_str())
      .def("restore", &Stream::restore, nb::arg("snapshot"), said_of("restore").c_str())
      .def_prop_ro("frames", &Stream::frames, said_of("frames").c_str())
      .def_prop_ro("refused", &Stream::refused, said_of("refused").c_str())
      .def("states", &Stream::states, nb::sig("def states(self) -> list[Array]"),
           "Return copies of the state vectors, in the order of the plan.")
      .def("write_states", &Stream::write_states, nb::arg("vectors"),
           nb::sig("def write_states(self, vectors: Sequence[Array | None]) -> None"),
           "Set the first state vectors, in the order of the plan; None: as it is.");
  nb::class_<Group>(m, "Group", "Streams in rows, pushed together.")
      .def(nb::init<nb::object, uint32_t>(), nb::arg("model"), nb::arg("rows"),
           nb::sig("def __init__(self, model: Model, rows: int) -> None"))
      .def("push", &Group::push, nb::arg("chunks"), nb::arg("rows"), nb::arg("out") = nb::none(),
           nb::sig("def push(self, chunks: Chunk, rows: Sequence[int], out: Array | None = None) -> Answer"))
      .def("join", &Group::join, nb::arg("row"))
      .def("leave", &Group::leave, nb::arg("row"))
      .def("reset", &Group::reset, nb::arg("row"))
      .def("snapshot", &Group::snapshot, nb::arg("row"))
      .def("restore", &Group::restore, nb::arg("row"), nb::arg("snapshot"))
      .def("frames", &Group::frames, nb::arg("row"))
      .def("refused", &Group::refused, nb::arg("row"))
      .def("states", &Group::states, nb::arg("row"), nb::sig("def states(self, row: int) -> list[Array]"))
      .def("write_states", &Group::write_states, nb::arg("row"), nb::arg("vectors"),
           nb::sig("def write_states(self, row: int, vectors: Sequence[Array | None]) -> None"));
}
