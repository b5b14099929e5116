"""What one writer writes: keys, operations, rows, and the state that they lead to."""
