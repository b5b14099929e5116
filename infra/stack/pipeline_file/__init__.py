"""A pipeline of the user's own in one file (docs/pipeline.md): its sections, and how it is read."""
