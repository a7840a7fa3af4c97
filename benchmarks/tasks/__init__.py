"""Real models on real recordings, a module each: the weights, what to calibrate on, what to measure on."""
