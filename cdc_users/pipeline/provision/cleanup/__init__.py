"""What a run has made or done to servers: written down first, and undone for certain."""
