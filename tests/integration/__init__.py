"""Parts of the project against the real stack."""
