"""Drawn scenes with tags and masks, so that the demo needs no download."""
