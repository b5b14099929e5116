"""What the connections of lanes and looks share."""

from __future__ import annotations

#: How long a connection may take.
CONNECT_S = 10
#: The start of the application_name of lanes' backends, followed by the run; by this name the
#: harness sees when none is active any more.
APPLICATION_NAME = "locust-cdc lane"


def application_name(run: str) -> str:
    """The application_name of a run's backends."""
    return f"{APPLICATION_NAME} {run}"
