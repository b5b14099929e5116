"""The harness: who generates load, how it is measured, what is concluded."""
