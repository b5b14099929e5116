"""Limits of this process that its servers inherit: raised where they may be, named where they are
too low.
"""

from __future__ import annotations

import resource

from infra.stack.error import StackConfigError

#: Kafka keeps several files a partition open, Connect its jars, and each connection is one.
NEEDED_FILES = 4096
WANTED_FILES = 65_536


def raise_limits() -> None:
    """Let the servers open as many files as the system permits; raises StackConfigError where that
    is too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if most < NEEDED_FILES:
        raise StackConfigError(
            f"a process may open {most} files here, and the servers need {NEEDED_FILES}; raise the"
            f" hard limit (ulimit -Hn {NEEDED_FILES}; in a container --ulimit"
            f" nofile={NEEDED_FILES})"
        )
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
