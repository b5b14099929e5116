"""Bytes of the pgoutput plugin to events, typed values and transactions; pure."""
