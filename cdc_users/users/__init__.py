"""Locust users: who generates load."""
