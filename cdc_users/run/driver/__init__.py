"""Takes one step through its pipeline: its load, its drain and its fault."""
