"""Takes one step through its pipeline: its load, its drain, and what is done to it meanwhile."""
