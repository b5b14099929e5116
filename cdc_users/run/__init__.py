"""The life of one run, and its connection to Locust."""
