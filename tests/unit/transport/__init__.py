"""Publishers against in-memory clients that behave like the services' own."""
