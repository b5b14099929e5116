"""Unit tests of modules that import Locust, which patches the standard library: in a process of their own."""
