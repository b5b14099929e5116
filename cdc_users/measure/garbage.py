"""Python's garbage collector beside a load.

A full collection looks at every object of the process: some 100,000 after the imports alone, which
stops it for 50 ms, and longer on a busy machine. Whatever is due meanwhile is late by that.
"""

from __future__ import annotations

import gc


def set_aside() -> None:
    """Collect now, before a load, and leave what is there then out of later collections; what was
    set aside before is looked at once more, so that nothing is kept for ever.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
