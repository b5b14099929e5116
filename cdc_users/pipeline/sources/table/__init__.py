"""Tables of the user's own: looked at, planned for, and left as they were."""
