// The Python face of the engine: checks arrays, releases the GIL, calls, turns a status into an exception.
#include "group.h"
#include "model.h"
#include "stream.h"

NB_MODULE(_kernels, m) {
  if (_import_array() < 0) throw nb::python_error();
  m.doc() = "The engine: compiled plans and their streams.";
  m.def("sizes", &sizes, nb::arg("plan"), nb::arg("lanes"), nb::arg("depth"), nb::arg("panel"),
        "Bytes of a model and a stream on a variant, features, floats of each output and state vector.");
  m.def("variants", &variants, nb::arg("supported_only") = true, "Names of the instruction-set variants, best first.");
  nb::class_<Model>(m, "Model", "A checked plan, packed for one instruction set.")
      .def(nb::init<nb::bytes, const std::string &>(), nb::arg("plan"), nb::arg("variant"))
      .def("name_outputs", &Model::name_outputs, nb::arg("names"))
      .def_prop_ro("variant", &Model::variant)
      .def_prop_ro("outputs", &Model::outputs)
      .def_prop_ro("state_widths", &Model::state_widths);
  nb::class_<Stream>(m, "Stream", "One sequence in progress.")
      .def(nb::init<nb::object>(), nb::arg("model"))
      .def("push", &Stream::push, nb::arg("chunk"), nb::kw_only(), nb::arg("out") = nb::none())
      .def("finish", &Stream::finish)
      .def_prop_ro("finished", &Stream::finished)
      .def("reset", &Stream::reset)
      .def("snapshot", &Stream::snapshot)
      .def("restore", &Stream::restore, nb::arg("snapshot"))
      .def_prop_ro("frames", &Stream::frames)
      .def_prop_ro("refused", &Stream::refused)
      .def("states", &Stream::states);
  nb::class_<Group>(m, "Group", "Streams in rows, pushed together.")
      .def(nb::init<nb::object, uint32_t>(), nb::arg("model"), nb::arg("rows"))
      .def("push", &Group::push, nb::arg("chunks"), nb::arg("rows"), nb::arg("out") = nb::none())
      .def("join", &Group::join, nb::arg("row"))
      .def("leave", &Group::leave, nb::arg("row"))
      .def("reset", &Group::reset, nb::arg("row"))
      .def("snapshot", &Group::snapshot, nb::arg("row"))
      .def("restore", &Group::restore, nb::arg("row"), nb::arg("snapshot"))
      .def("frames", &Group::frames, nb::arg("row"))
      .def("refused", &Group::refused, nb::arg("row"))
      .def("states", &Group::states, nb::arg("row"));
}
