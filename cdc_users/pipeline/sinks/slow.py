"""The sink that sleeps once in each write."""

from cdc_users.pipeline.declaration import SinkDeclaration

SLOW = SinkDeclaration("slow", takes=("sink-delay-ms",), real=False)
