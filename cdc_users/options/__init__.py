"""Every option: declared once, read, checked, explained."""
