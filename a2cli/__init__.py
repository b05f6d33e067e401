"""a2: replace anything in a photo by the object of a reference photo."""

__version__ = "0.1.0"
