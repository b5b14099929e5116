"""The databases that rows go into: for each kind, how lanes write (sessions) and how it is asked
afterwards (looks).
"""
