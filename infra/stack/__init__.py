"""Brings the servers up and down: on this machine as processes, by Docker Compose, or the user's
own.
"""
