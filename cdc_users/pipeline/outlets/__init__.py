"""The outlets: where events can come out of the user's own pipeline (`--sink-tap`). One
file each.
"""
