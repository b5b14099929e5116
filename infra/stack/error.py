"""Errors of the stack.

StackError        exit 3: a server is not there, died, or does not answer
└── StackConfigError   exit 2: what was asked for cannot be done, e.g. a port that is taken
"""

from __future__ import annotations


class StackError(Exception):
    """A server is not up, died, or does not answer; the message names it and the remedy."""

    exit_code = 3


class StackConfigError(StackError):
    """What was asked for makes no sense or is in the way of something; nothing was started."""

    exit_code = 2
