"""Locust patches the standard library, so it is imported before anything that it must find unpatched."""

import locust  # noqa: F401 - for its effect
