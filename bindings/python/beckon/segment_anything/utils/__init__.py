from . import amg, transforms

__all__ = ["amg", "transforms"]
