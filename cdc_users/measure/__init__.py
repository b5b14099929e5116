"""What makes numbers true, pure: clock, plan, probe, histograms, ledger, result.

No input or output.
"""
