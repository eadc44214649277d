"""MCNet: a still portrait moves like the person in a driving video."""

__version__ = "0.1.0"
