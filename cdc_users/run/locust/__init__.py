"""Where a run meets Locust: options, help, listeners, messages, statistics, signals."""
