"""The adapter's version. Its first two numbers are those of the torch it is built for."""

__version__ = "2.13.0"
