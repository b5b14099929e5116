"""The sink that only counts: what the way there costs."""

from cdc_users.pipeline.declaration import SinkDeclaration

COUNTING = SinkDeclaration("counting", writes=False, real=False)
