"""States: found in the graph, lifted to its inputs and outputs."""
