"""The chaos soak: short runs of every kind, each under an attack at some moment of its life."""
