"""Every option: its one declaration, its reader, its rules and its page."""
