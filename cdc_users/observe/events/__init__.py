"""What taps read: change events and their values, from any source, in one form."""
