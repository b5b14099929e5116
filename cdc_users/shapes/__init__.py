"""Load test shapes: thin adapters that turn options into steps and start lanes; they keep no time
of their own.
"""
