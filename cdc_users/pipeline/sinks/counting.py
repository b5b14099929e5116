"""The sink that only counts, which shows the cost of everything before it."""

from cdc_users.pipeline.declaration import SinkDeclaration

COUNTING = SinkDeclaration("counting", writes=False, real=False)
