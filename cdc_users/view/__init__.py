"""The views of a run that goes on: page, terminal, metrics."""
