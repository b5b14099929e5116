"""Tests of the servers' recipes, limits and ports."""
