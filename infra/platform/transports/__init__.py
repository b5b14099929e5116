"""What carries changes away from the direct reader: names, partitions, serialised forms and
publishers.
"""
