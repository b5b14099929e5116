"""The servers as local processes: settings, ports, start, readiness, stop."""
