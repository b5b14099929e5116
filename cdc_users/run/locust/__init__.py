"""The connection to Locust: options, help, listeners, messages, statistics, signals."""
