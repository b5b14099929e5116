"""What the harness adds to Locust's web UI: the CDC tab, the grouped and checked form, downloads
and metrics.
"""
