"""The same servers by Docker Compose."""
