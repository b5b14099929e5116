"""What can be seen of a run while it goes on: page, terminal, metrics."""
