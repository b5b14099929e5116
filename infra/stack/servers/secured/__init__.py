"""What a secured stack has beside an open one: certificates, logins, and doors with TLS."""
