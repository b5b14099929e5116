"""The sustainable rate: how it is searched, how one probe is judged, what limits it, what it
predicts. Pure.
"""
