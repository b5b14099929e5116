"""Taps: one module for each kind of place where events can be seen."""
