"""The model object. Its parts live in the library and are not Python objects."""
from .sam import Sam

__all__ = ["Sam"]
