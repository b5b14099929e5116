"""The processes of a pipeline: how each is started, asked, and stopped for certain."""
