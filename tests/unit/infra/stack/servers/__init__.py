"""Tests of the limits that a stack's servers need."""
