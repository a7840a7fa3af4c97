"""Fine-tuning: torch layers with the arithmetic of the engine."""
