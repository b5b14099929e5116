"""What is asked: one scenario per file, declarations only."""
