"""Real locust processes against the real stack."""
