"""Bounds in events and bytes, and waits."""

from __future__ import annotations

from tests.mutations.mutation import CONSUME, SINKS, UNIT, Mutation

_BUFFER = f"{UNIT}/platform/consume/test_buffer.py"
_HOOK = f"{UNIT}/platform/sinks/webhook/test_sink.py"
_CONSUMER = f"{UNIT}/platform/consume/test_consumer.py"

BOUNDS = (
    Mutation(
        "K7 the buffer has no bound in bytes",
        f"{CONSUME}/buffer.py",
        "queue.depth > enough or queue.bytes >= enough_bytes",
        "queue.depth > enough or queue.bytes < 0",
        f"{_BUFFER}::test_a_partition_whose_share_of_bytes_is_full_is_paused",
    ),
    Mutation(
        "K7 a batch has no bound in bytes",
        f"{CONSUME}/buffer.py",
        "light = self.waiting_bytes <= most_bytes",
        "light = most_bytes > 0",
        f"{_BUFFER}::test_no_more_bytes_are_taken_at_once_than_a_batch_may_have",
    ),
    Mutation(
        "K7 a request has no bound in bytes",
        f"{SINKS}/webhook/sink.py",
        "if whole and len(whole) <= self._request_bytes:",
        "if whole:",
        f"{_HOOK}::test_requests_stay_below_their_bound_at_ten_times_of_it",
    ),
    Mutation(
        "K7 a commit has no bound in events",
        f"{CONSUME}/delivery.py",
        "or self._accepted_events >= times * self._limit.events",
        "or self._accepted_events < 0",
        f"{UNIT}/platform/consume/test_delivery.py::test_a_sink_must_commit_at_so_many_events",
    ),
    Mutation(
        "K7 a stopped partition takes room",
        f"{CONSUME}/partition_worker.py",
        "            queue.stop()\n",
        "            queue.close()\n",
        f"{UNIT}/platform/consume/test_partition_worker.py"
        "::test_a_stopped_partition_takes_no_room_from_those_that_go_on",
    ),
)
WAITS = (
    Mutation(
        "K8 what keeps failing is not shown",
        "infra/platform/process/retry.py",
        "                    if attempt > 1:\n",
        "                    if attempt < 0:\n",
        f"{_CONSUMER}::test_what_fails_again_and_again_is_shown_while_it_does",
    ),
    Mutation(
        "K9 a retry does not give way",
        f"{CONSUME}/partition_worker.py",
        "            hurry(worker)\n",
        "",
        f"{_CONSUMER}::test_a_write_that_waits_to_be_tried_again_gives_way_to_a_handover_at_once",
    ),
    Mutation(
        "K9 a write that never ends is waited for",
        f"{CONSUME}/partition_worker.py",
        "            timeout=FINISH_S,\n",
        "            timeout=240.0,\n",
        f"{_CONSUMER}::test_a_write_that_never_ends_is_cut_at_a_handover_and_the_consumer_lives_on",
    ),
    Mutation(
        "K9 sockets notice no silence",
        f"{SINKS}/webhook/sink.py",
        "    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)\n",
        "",
        f"{_HOOK}::test_sockets_notice_a_silent_other_side",
    ),
    Mutation(
        "K11 a request that is too long ends the platform",
        f"{SINKS}/webhook/failure.py",
        "413, 414, 415, 422, 431})",
        "413, 415, 422})",
        f"{_HOOK}::test_an_answer_tells_whether_to_try_again",
    ),
    Mutation(
        "K11 what was taken is posted again",
        f"{SINKS}/webhook/sink.py",
        "            self._taken[batch.place] = offsets[last] + 1\n",
        "",
        f"{_HOOK}::test_what_was_taken_is_not_posted_again_when_a_later_part_fails",
    ),
    Mutation(
        "K9 a flush that is due waits for ever for a partition that has gone",
        f"{CONSUME}/delivery.py",
        " or self.flush_due.is_set())",
        ")",
        f"{UNIT}/platform/consume/test_delivery.py"
        "::test_a_flush_that_is_due_is_made_also_where_its_partition_has_gone",
    ),
    Mutation(
        "K8 a call that is refused in part is made again at once",
        "infra/platform/transports/kinesis.py",
        "                if waiting.pauses is not None:\n",
        "                if False:\n",
        f"{UNIT}/platform/transports/test_kinesis.py"
        "::test_a_call_of_which_a_part_is_refused_is_followed_by_a_pause_that_grows",
    ),
    Mutation(
        "K8 a watch that fails is over in silence",
        f"{CONSUME}/partition_worker.py",
        "        if error is not None:\n            failures.append(",
        "        if False:\n            failures.append(",
        f"{_CONSUMER}::test_a_watch_that_fails_ends_the_consumer_and_is_shown",
    ),
)
