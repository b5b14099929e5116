"""The wire contract as data: how change events look on a topic, and how they are read."""
