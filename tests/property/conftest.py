"""Hypothesis settings of the property tests."""

from hypothesis import settings

# No deadline: a test asserts what code does, not how fast a busy machine does it.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
