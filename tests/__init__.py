"""Tests: unit (no server), integration (the real stack), scenarios (real locust processes),
benchmark.
"""
