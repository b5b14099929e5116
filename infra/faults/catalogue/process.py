"""Faults of the stack's servers and of the run's processes: killed and started again, or paused and
resumed.
"""

from __future__ import annotations

from infra.faults.fault import Fault, FaultDeed, FaultGround

#: The seconds of load that a kill may repeat: Debezium's offsets are stored once a second, a
#: consumer's after each write, and the failure must be noticed first.
REPEATS_S = 10.0
#: What the run's own look at its servers reports afterwards (provision/condition.py).
CONNECT, CAPTURE = "Kafka Connect", r"the capture \("
#: What our own taps and the platform report meanwhile, because they are cut off as well.
TOPIC_CUT_OFF, TABLE_CUT_OFF = "could not read what came: Kafka: ", "table cannot be read: "
KAFKA, POSTGRES, REGISTRY = "Kafka(?! Connect)", "PostgreSQL", "the schema registry"


def act(action: str, name: str) -> FaultDeed:
    """Acts on one server of the stack, or on one process of the run, by its name."""

    def carry_out(ground: FaultGround) -> None:
        ground.act(action, name)

    return carry_out


KILL_CONNECT = Fault(
    "kill-connect",
    "Kills Kafka Connect (SIGKILL) and starts it again.",
    on="connect",
    inject=act("kill", "connect"),
    heal=act("restart", "connect"),
    needs=("stack", "debezium"),
    repeats_s=REPEATS_S,
    explains=(CONNECT, CAPTURE),
    better="offset.flush.interval.ms bounds what comes again; session.timeout.ms and"
    " scheduled.rebalance.max.delay.ms how long it takes until the task runs again",
)
PAUSE_CONNECT = Fault(
    "pause-connect",
    "Stops Kafka Connect where it is (SIGSTOP) and lets it go on.",
    on="connect",
    inject=act("pause", "connect"),
    heal=act("resume", "connect"),
    needs=("stack", "debezium"),
    repeats_s=REPEATS_S,
    explains=(CONNECT, CAPTURE),
    better="wal_sender_timeout decides whether PostgreSQL waits for a connector that stands still",
)
KILL_KAFKA = Fault(
    "kill-kafka",
    "Kills the broker (SIGKILL) and starts it again.",
    on="kafka",
    inject=act("kill", "kafka"),
    heal=act("restart", "kafka"),
    needs=("stack", "topic"),
    repeats_s=REPEATS_S,
    explains=(KAFKA, CAPTURE, TOPIC_CUT_OFF),
    better="several brokers with min.insync.replicas; delivery.timeout.ms above the outage",
)
PAUSE_KAFKA = Fault(
    "pause-kafka",
    "Stops the broker where it is (SIGSTOP) and lets it go on.",
    on="kafka",
    inject=act("pause", "kafka"),
    heal=act("resume", "kafka"),
    needs=("stack", "topic"),
    repeats_s=REPEATS_S,
    explains=(KAFKA, CAPTURE, TOPIC_CUT_OFF),
    better="request.timeout.ms and session.timeout.ms above the pauses that must be ridden out",
)
KILL_REGISTRY = Fault(
    "kill-registry",
    "Kills the schema registry (SIGKILL) and starts it again; ours forgets its schemas.",
    on="schema-registry",
    inject=act("kill", "schema-registry"),
    heal=act("restart", "schema-registry"),
    needs=("stack", "topic"),
    explains=(REGISTRY,),
    lasting=True,
    better="a registry that keeps its schemas in a database or a topic; converters that go on with"
    " a schema they know (apicurio.registry.fault-tolerant-refresh, which this stack sets), since"
    " they ask again every 30 s and a task ends for good when that fails",
)
PAUSE_REGISTRY = Fault(
    "pause-registry",
    "Stops the schema registry where it is (SIGSTOP) and lets it go on.",
    on="schema-registry",
    inject=act("pause", "schema-registry"),
    heal=act("resume", "schema-registry"),
    needs=("stack", "topic"),
    explains=(REGISTRY,),
    better="clients that keep the schemas that they know, as all here do",
)
KILL_POSTGRES = Fault(
    "kill-postgres",
    "Kills PostgreSQL (SIGKILL) and starts it again, with crash recovery.",
    on="postgres",
    inject=act("kill", "postgres"),
    heal=act("restart", "postgres"),
    needs=("stack", "database"),
    repeats_s=REPEATS_S,
    explains=(POSTGRES, CAPTURE, TABLE_CUT_OFF),
    stops_writers=True,
    better="max_wal_size bounds the recovery; retriable.restart.connector.wait.ms the time until"
    " the connector tries again",
)
PAUSE_POSTGRES = Fault(
    "pause-postgres",
    "Stops PostgreSQL where it is (SIGSTOP, with all its backends) and lets it go on.",
    on="postgres",
    inject=act("pause", "postgres"),
    heal=act("resume", "postgres"),
    needs=("stack", "database"),
    repeats_s=REPEATS_S,
    explains=(POSTGRES, CAPTURE, TABLE_CUT_OFF),
    stops_writers=True,
    better="clients with statement and connection time-outs above the pause",
)
KILL_PLATFORM = Fault(
    "kill-platform",
    "Kills an instance of the platform (SIGKILL) and starts it again.",
    on="platform",
    inject=act("kill", "platform"),
    heal=act("restart", "platform"),
    needs=("platform", "sink tap"),
    repeats_s=REPEATS_S,
    better="a second instance takes over; session.timeout.ms decides after how long",
)
TERMINATE_PLATFORM = Fault(
    "terminate-platform",
    "Asks an instance of the platform to end (SIGTERM), in mid-batch, and starts it again.",
    on="platform",
    inject=act("terminate", "platform"),
    heal=act("restart", "platform"),
    needs=("platform", "sink tap"),
    repeats_s=1.0,
    better="a second instance takes over at once, since this one leaves its group",
)
PAUSE_PLATFORM = Fault(
    "pause-platform",
    "Stops an instance of the platform where it is (SIGSTOP) and lets it go on.",
    on="platform",
    inject=act("pause", "platform"),
    heal=act("resume", "platform"),
    needs=("platform", "sink tap"),
    repeats_s=REPEATS_S,
    better="session.timeout.ms above the pause, or a second instance that takes over",
)
KILL_READER = Fault(
    "kill-reader",
    "Kills the direct reader, or Debezium Server, (SIGKILL) and starts it again.",
    on="reader",
    inject=act("kill", "reader"),
    heal=act("restart", "reader"),
    needs=("reader",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE, "nobody reads replication slot"),
    better="a supervisor that starts it again at once; the slot keeps what is not confirmed",
)
TERMINATE_READER = Fault(
    "terminate-reader",
    "Asks the direct reader, or Debezium Server, to end (SIGTERM), in mid-batch, and starts it"
    " again.",
    on="reader",
    inject=act("terminate", "reader"),
    heal=act("restart", "reader"),
    needs=("reader",),
    repeats_s=1.0,
    explains=(CAPTURE, "nobody reads replication slot"),
    better="a supervisor that starts it again at once",
)
PAUSE_READER = Fault(
    "pause-reader",
    "Stops the direct reader, or Debezium Server, where it is (SIGSTOP) and lets it go on.",
    on="reader",
    inject=act("pause", "reader"),
    heal=act("resume", "reader"),
    needs=("reader",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE, "nobody reads replication slot"),
    better="wal_sender_timeout above the pause",
)
