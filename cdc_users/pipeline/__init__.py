"""What stands between source and sink during a step: its objects and processes, and how they are
watched.
"""
