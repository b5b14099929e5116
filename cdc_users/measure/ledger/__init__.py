"""Which events arrived: the probe that each row carries, and the audit of every sequence."""
