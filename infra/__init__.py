"""Everything that is loaded: the stack's servers, the reference platform, the source tables and the
wire contract.
"""
