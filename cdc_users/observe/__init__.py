"""The observer, a process of its own without gevent: taps that watch where events land, and gauges
beside them.
"""
