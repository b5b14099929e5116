"""Faults of the webhook receiver."""

from __future__ import annotations

from infra.faults.catalogue.process import REPEATS_S
from infra.faults.fault import WEBHOOK, Fault, FaultDeed, FaultGround


def _answers(how: str) -> FaultDeed:
    def carry_out(ground: FaultGround) -> None:
        ground.answer_as(how)

    return carry_out


REFUSE = Fault(
    "webhook-refuses",
    "The webhook receiver answers every request with 500.",
    on=WEBHOOK,
    inject=_answers("500"),
    heal=_answers(""),
    needs=("webhook sink",),
    repeats_s=REPEATS_S,
    better="attempts with backoff and jitter, as the reference sink has; a dead-letter topic",
)
PUT_OFF = Fault(
    "webhook-puts-off",
    "The webhook receiver answers every request with 429 and Retry-After: 1.",
    on=WEBHOOK,
    inject=_answers("429"),
    heal=_answers(""),
    needs=("webhook sink",),
    repeats_s=REPEATS_S,
    better="a client that obeys Retry-After",
)
HANG = Fault(
    "webhook-hangs",
    "The webhook receiver takes requests and does not answer them.",
    on=WEBHOOK,
    inject=_answers("hang"),
    heal=_answers(""),
    needs=("webhook sink",),
    repeats_s=REPEATS_S,
    better="a time-out for each request that is shorter than what the backlog may grow for",
)
LOSE_ANSWERS = Fault(
    "webhook-loses-answers",
    "The webhook receiver applies requests and breaks the connection instead of answering.",
    on=WEBHOOK,
    inject=_answers("lost"),
    heal=_answers(""),
    needs=("webhook sink",),
    repeats_s=REPEATS_S,
    better="an idempotency key that is the same in every attempt, and a receiver that knows it",
)
