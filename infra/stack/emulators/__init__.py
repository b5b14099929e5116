"""Emulators of cloud services on loopback: started on demand, dead with their parent, nothing left
behind.
"""
