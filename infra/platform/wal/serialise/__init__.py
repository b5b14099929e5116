"""Serialises changes of the direct reader as JSON or Avro records."""
