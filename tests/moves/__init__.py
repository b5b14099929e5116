"""A source under load that moves, the pipelines behind it, and what becomes of each: followed, or
stopped by name (tests/integration/test_source_moves.py).
"""
