"""What stands between source and sink during a step: its objects, its processes, and how they are
watched.
"""
