"""Values of PostgreSQL's types as text for the server: seeded, and of realistic size.

Pure. A maker takes the plan of its value and a source of random numbers. `distinct` makes the
values that contain a row's key, so that no two rows have equal ones.
"""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cdc_users.users.workload.table.plan import ValuePlan

WORDS: Final = (
    "order", "invoice", "straße", "north", "blue", "café", "quick", "ledger", "O'Neil", "parcel",
    "harbour", "señor", "amber", "quarter", "pending", "paid", "Ångström", "returned", "depot",
)  # fmt: skip
ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
#: The newest time of all values, and how far they reach back.
NEWEST: Final = datetime(2026, 6, 30, 12, tzinfo=UTC)
PAST_S: Final = 3 * 365 * 86_400
#: The length of texts without a limit: about a sentence.
USUAL_LENGTH: Final = 60
#: Numbers without a limit are from 0 up to here.
USUAL_MOST: Final = 100_000
EIGHTHS: Final = 8
#: A text that contains a key: eight characters of the run, and the key in base 36.
KEY_DIGITS: Final = 10
KEY_LENGTH: Final = 8 + KEY_DIGITS
#: A number that contains a key must hold this much.
ROOM: Final = 9 * 10**18

ValueMaker = Callable[[ValuePlan, random.Random], str]


def made(plan: ValuePlan, chance: random.Random) -> tuple[str, Any]:
    """One value, in two forms: the text for PostgreSQL, and the form from which the checksum reads
    its kind. These differ only for arrays and intervals.
    """
    if plan.item is not None and plan.maker == "array":
        items = [MAKERS[plan.item.maker](plan.item, chance) for _ in range(chance.randint(0, 4))]
        return array_text(items), items
    text = MAKERS[plan.maker](plan, chance)
    if plan.maker == "interval":
        return text, timedelta(seconds=int(text.split()[0]))
    return text, text


def array_text(items: Sequence[str | None]) -> str:
    """An array as text for PostgreSQL (its documentation, "Array Input and Output Syntax")."""
    return "{" + ",".join(map(_item_text, items)) + "}"


def _item_text(item: str | None) -> str:
    if item is None:
        return "NULL"
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


def distinct(plan: ValuePlan, head: str, key_base: int, key: int) -> str:
    """A value that no other key has, and no other run."""
    if plan.maker == "uuid":
        return key_uuid(head, key)
    if plan.maker in ("integer", "numeric"):
        return str(key_base + key)
    return f"{head}{base36(key)}"


def can_be_distinct(plan: ValuePlan) -> bool:
    """Whether a value of this plan can contain a key."""
    if plan.labels or plan.item is not None:
        return False
    if plan.maker == "uuid":
        return True
    if plan.maker in ("integer", "numeric"):
        # A run's keys are above nought, whatever else is demanded of them: CHECK (id > 0).
        above = plan.low is None or plan.low <= unit_of(plan)
        return above and (plan.high is None or plan.high >= ROOM * unit_of(plan))
    fits = (plan.low or 0) <= KEY_LENGTH and (plan.high is None or plan.high >= KEY_LENGTH)
    return plan.maker == "text" and fits


def base36(number: int) -> str:
    """A number of ten digits in base 36; such texts sort as their numbers do."""
    digits = ""
    for _ in range(KEY_DIGITS):
        number, digit = divmod(number, 36)
        digits = ALPHABET[digit] + digits
    return digits


def key_uuid(head: str, key: int) -> str:
    """A UUID of version 8 (RFC 9562): the run's 60 bits first, the key in the last 62."""
    front = int.from_bytes(hashlib.sha256(head.encode()).digest()[:8], "big") >> 4
    high, low = divmod(front, 1 << 12)
    return str(uuid.UUID(int=(high << 80) | (0x8000 | low) << 64 | (1 << 63) | key))


def unit_of(plan: ValuePlan) -> int:
    """How many of a number's smallest steps make 1; binary fractions hold eighths exactly."""
    if plan.maker == "numeric":
        return int(10**plan.scale)
    return EIGHTHS if plan.maker == "float" else 1


def _number(plan: ValuePlan, chance: random.Random) -> int:
    """A number in units of its smallest step; without limits in the plan, about that of an
    amount.
    """
    usual = USUAL_MOST * unit_of(plan)
    low, high = plan.low, plan.high
    if low is None:
        low = 0 if high is None or high >= 0 else high - usual
    return chance.randint(low, low + usual if high is None else min(high, low + usual))


def _numeric(plan: ValuePlan, chance: random.Random) -> str:
    number, unit = _number(plan, chance), unit_of(plan)
    whole, rest = divmod(abs(number), unit)
    text = f"{whole}.{rest:0{plan.scale}d}" if plan.scale else str(whole)
    return f"-{text}" if number < 0 else text


def _text(plan: ValuePlan, chance: random.Random) -> str:
    if plan.labels:
        return chance.choice(plan.labels)
    usual = max(USUAL_LENGTH, plan.low or 0)
    high = usual if plan.high is None else min(plan.high, usual)
    low = min(plan.low or 1, high) if high else 0
    length = (
        chance.randint(max(low, high // 3), high) if plan.low is None else chance.randint(low, high)
    )
    text = " ".join(chance.choices(WORDS, k=length // 4 + 2))[:length]
    return text[:-1] + "x" if text.endswith(" ") else text


def _padded(plan: ValuePlan, chance: random.Random) -> str:
    """A text of type char(n) of full length: formats differ on whether padding counts."""
    return "".join(chance.choices(ALPHABET[10:], k=plan.high or 1))


def _octets(plan: ValuePlan, chance: random.Random) -> str:  # noqa: ARG001 - any length will do
    return "\\x" + chance.randbytes(chance.randint(8, 64)).hex()


def _moment(chance: random.Random) -> datetime:
    return NEWEST - timedelta(
        seconds=chance.randrange(PAST_S), microseconds=chance.randrange(10**6)
    )


def _fraction(moment: datetime, digits: int) -> str:
    return f".{moment.microsecond:06d}"[: digits + 1] if digits else ""


def _timestamp(plan: ValuePlan, chance: random.Random) -> str:
    moment = _moment(chance)
    return f"{moment:%Y-%m-%d %H:%M:%S}{_fraction(moment, plan.scale)}"


def _time(plan: ValuePlan, chance: random.Random) -> str:
    moment = _moment(chance)
    return f"{moment:%H:%M:%S}{_fraction(moment, plan.scale)}"


def _json(plan: ValuePlan, chance: random.Random) -> str:  # noqa: ARG001 - any document will do
    document = {
        "sku": chance.choice(WORDS),
        "count": chance.randint(1, 99),
        "tags": chance.choices(WORDS, k=chance.randint(0, 3)),
        "gift": chance.random() < 0.5,
        "note": None,
    }
    return json.dumps(document, ensure_ascii=False)


def _address(chance: random.Random) -> str:
    return ".".join(str(chance.randint(0, 255)) for _ in range(3))


def _range(plan: ValuePlan, chance: random.Random) -> str:
    assert plan.item is not None
    if plan.item.maker in ("integer", "numeric"):
        low = chance.randint(0, 1000)
        return f"[{low},{low + chance.randint(1, 1000)})"
    moment = _moment(chance)
    later = moment + timedelta(days=chance.randint(1, 30))
    return f"[{moment:%Y-%m-%d},{later:%Y-%m-%d})"


MAKERS: Mapping[str, ValueMaker] = {
    "integer": lambda plan, chance: str(_number(plan, chance)),
    "numeric": _numeric,
    "float": lambda plan, chance: str(_number(plan, chance) / EIGHTHS),
    "text": _text,
    "char": _padded,
    "boolean": lambda _, chance: chance.choice(("true", "false")),
    "bytes": _octets,
    "date": lambda _, chance: f"{_moment(chance):%Y-%m-%d}",
    "timestamp": _timestamp,
    "timestamptz": lambda plan, chance: _timestamp(plan, chance) + "+00:00",
    "time": _time,
    "timetz": lambda plan, chance: _time(plan, chance) + "+00:00",
    "interval": lambda _, chance: f"{chance.randint(0, 86_399)} seconds",
    "uuid": lambda _, chance: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
    "json": _json,
    "inet": lambda _, chance: f"{_address(chance)}.{chance.randint(1, 254)}",
    "cidr": lambda _, chance: f"{_address(chance)}.0/24",
    "macaddr": lambda _, chance: chance.randbytes(6).hex(":"),
    "bits": lambda plan, chance: "".join(chance.choices("01", k=plan.high or 8)),
    "money": lambda _, chance: f"{chance.randint(0, 99_999)}.{chance.randint(0, 99):02d}",
    "xml": lambda _, chance: f"<note>{chance.choice(WORDS[:2])}</note>",
    "point": lambda _, chance: f"({chance.randint(-90, 90)},{chance.randint(-180, 180)})",
    "range": _range,
}
