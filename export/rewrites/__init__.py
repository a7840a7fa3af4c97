"""Rewrites of a traced graph, one per file: what torch unrolled or hid becomes standard recurrent nodes."""
