"""What a run has made on servers or done to them: written down first, so that it is always
undone.
"""
