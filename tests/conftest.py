from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# A fact holds on a slow machine, too: the first text that Hypothesis makes in a fresh clone takes it seconds.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
