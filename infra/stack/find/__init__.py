"""Finds a stack that is up: this checkout's own, or the user's servers."""
