"""The real stack, for the tests of this folder."""

from tests.real_stack import _stack_of_session, results, stack
from tests.scenarios.browser import launched

__all__ = ["_stack_of_session", "launched", "results", "stack"]
