"""How any part of the project reaches a server: directly where it is on this machine, and with no
variable of the environment in between.
"""
