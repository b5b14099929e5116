"""Tests of certificates, and of the doors of a secured stack."""
