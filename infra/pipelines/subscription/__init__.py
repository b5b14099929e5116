"""PostgreSQL's own subscription, as a run's platform."""
