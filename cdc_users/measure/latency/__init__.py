"""Latency histograms, and the recorder that fills one for each series."""
