"""Learning from noisy masks: tensors in, loss terms out."""
