"""Training: clips in, a run folder with checkpoints and a weights file out."""
