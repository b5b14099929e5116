"""The code that every process of the platform needs: errors, retries, log, event loop."""
