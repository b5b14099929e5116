"""What figures mean: thresholds, reasons for INVALID, pressure, scaling, and the result as data."""
