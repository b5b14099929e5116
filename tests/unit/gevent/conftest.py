"""Locust before everything else: it patches the standard library, which must not be in use by then."""

import locust

__all__ = ["locust"]
