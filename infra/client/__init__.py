"""How every part of the project reaches a server: directly if it is on this machine, whatever the
environment says.
"""
