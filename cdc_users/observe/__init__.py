"""The observer, a process of its own without gevent: taps watch where events land, and gauges watch
the processes beside them.
"""
