"""Python's garbage collector beside a load.

A full collection looks at every object of the process. After the imports alone there are some
100,000, which stops the process for 50 ms, and longer on a busy machine. Every arrival that is due
meanwhile is late by that.
"""

from __future__ import annotations

import gc


def set_aside() -> None:
    """Collect now, before a load, and exclude the remaining objects from later collections. Objects
    that an earlier call excluded are looked at once more, so that no garbage is kept for ever.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
