"""The faults there are, found by declaration (infra/faults/fault.py says what one has)."""
