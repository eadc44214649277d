"""MCNet: a still portrait moves like the person in a driving video."""
