"""Sinks: where events go, behind one protocol."""
