"""Errors of the stack.

StackError        exit 3: a server is not there, died, or does not answer
└── StackConfigError   exit 2: the request cannot be carried out, e.g. a port is taken
"""

from __future__ import annotations


class StackError(Exception):
    """A server is not up, died, or does not answer; the message names it and the remedy."""

    exit_code = 3


class StackConfigError(StackError):
    """The request makes no sense or conflicts with something that exists; nothing was started."""

    exit_code = 2
