"""The real stack, for the tests of this folder."""

from tests.real_stack import _stack_of_session, results, stack

__all__ = ["_stack_of_session", "results", "stack"]
