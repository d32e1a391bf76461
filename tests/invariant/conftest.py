"""Hypothesis settings of the property tests."""

import os

from hypothesis import settings

# No deadline: a test asserts what code does, not how fast a busy machine does it. CI tries the same examples
# each time, so that a change fails for what it changed; everywhere else the search goes on at random.
settings.register_profile("house", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("house")
