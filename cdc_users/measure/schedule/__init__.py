"""When each arrival is due: rates, stages and ramps as a schedule that is fixed before the load
begins.
"""
