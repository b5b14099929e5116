"""Unit tests of what is added to the web UI, as far as it needs no Locust."""
