"""Turns bytes of the pgoutput plugin into events, typed values and transactions; pure."""
