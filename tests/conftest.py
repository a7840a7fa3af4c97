"""What holds for every test."""

from hypothesis import HealthCheck, settings

# No test depends on how fast or how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
