"""Rewrites of a traced graph, one file each: what torch unrolled or hid becomes standard recurrent nodes."""
