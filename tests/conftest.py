"""Settings for all tests."""

from hypothesis import HealthCheck, settings

# No test may depend on the speed or the load of the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
