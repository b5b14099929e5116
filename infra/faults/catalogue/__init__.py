"""The faults, found by declaration (infra/faults/fault.py describes the record)."""
