"""The reference CDC platform, the system under test: a process of its own that the harness only meets on the network."""
