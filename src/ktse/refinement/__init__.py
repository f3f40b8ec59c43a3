"""From soft scores to better masks: tensors in, tensors out."""
