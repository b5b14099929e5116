"""The webhook sink: events as JSON over HTTP."""
