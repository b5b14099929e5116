"""The processes of a pipeline: how each is started and asked, and that each is stopped."""
