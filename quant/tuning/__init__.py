"""Fine-tuning: torch layers that compute what the engine will."""
