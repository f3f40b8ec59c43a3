"""Applying a segmentation model to images of any size; no torch here, so that an exported model needs none."""
