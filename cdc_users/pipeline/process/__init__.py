"""The processes of a pipeline: started, asked, and stopped for certain."""
