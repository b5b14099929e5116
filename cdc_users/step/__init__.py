"""One step of a run: its state, its end, its result and its verdict."""
