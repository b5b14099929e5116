"""Finds a running stack: this checkout's own, or the user's servers."""
