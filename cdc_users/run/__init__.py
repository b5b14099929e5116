"""The life of one run, and where it meets Locust."""
