"""Numbers of the specification: functions of float32 values, and fixed point."""
