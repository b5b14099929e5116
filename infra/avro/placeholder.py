"""How Debezium writes a value that it does not know: a large one that was not changed, so the
source's log lacks it.

Its class UnchangedToastedPlaceholder (3.6) has a form for some types; its option
`unavailable.value.placeholder` is left alone here.

| type | form |
|---|---|
| text, json, bytea and what is sent as one of them | the placeholder |
| text[], varchar[], char[], json[], jsonb[], bytea[] | an array with the placeholder alone |
| int[], bigint[], date[] | an array of the placeholder's bytes as numbers |
| uuid[] | an array with the UUID that Java's `UUID.nameUUIDFromBytes` makes of it |
| hstore, as a map or as JSON | the placeholder by the placeholder |

For other types (numeric, smallint[], numeric[], float8[], timestamp[], ...) it sends NULL, which
looks like any NULL.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.avro.kind import PLACEHOLDER
from infra.avro.octets import Octets, OffsetArray

_BYTES = PLACEHOLDER.encode()
_TEXTS = (_BYTES, f'{{"{PLACEHOLDER}":"{PLACEHOLDER}"}}'.encode())
_UUID = uuid.UUID(bytes=hashlib.md5(_BYTES, usedforsecurity=False).digest(), version=3)
_NESTED = ([PLACEHOLDER], [_BYTES], list(_BYTES), [str(_UUID)], {PLACEHOLDER: PLACEHOLDER})


def are_placeholders(
    octets: Octets, begin: OffsetArray, length: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of the texts that begin here, each so long, stand for a value that was not sent."""
    found = np.zeros(len(begin), dtype=np.bool_)
    for text in _TEXTS:
        # The length alone rules out nearly every text: lengths are in hand, and only where one
        # fits are bytes looked at.
        rows = np.flatnonzero(length == len(text))
        alike = octets.table(begin[rows], len(text)) == np.frombuffer(text, dtype=np.uint8)
        found[rows] = alike.all(axis=1)
    return found


def is_placeholder(value: Any) -> bool:
    """Whether an array or a map, as fastavro reads it, stands for a value that was not sent."""
    return value in _NESTED
