"""What Debezium writes for a value that it does not know: a large unchanged one, which the source's
log leaves out.

Its class UnchangedToastedPlaceholder (3.6) has a form for some types. This module expects the
option `unavailable.value.placeholder` at its default.

| type | form |
|---|---|
| text, json, bytea and what is sent as one of them | the placeholder |
| text[], varchar[], char[], json[], jsonb[], bytea[] | an array with only the placeholder |
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
    """Which of the texts at these positions, of these lengths, stand for a value that was not sent:
    bool of shape (n,).
    """
    found = np.zeros(len(begin), dtype=np.bool_)
    for text in _TEXTS:
        # The lengths alone, which are known already, exclude nearly every text; bytes are compared
        # only where a length fits.
        rows = np.flatnonzero(length == len(text))
        alike = octets.table(begin[rows], len(text)) == np.frombuffer(text, dtype=np.uint8)
        found[rows] = alike.all(axis=1)
    return found


def is_placeholder(value: Any) -> bool:
    """Whether an array or a map, as fastavro reads it, stands for a value that was not sent."""
    return value in _NESTED
