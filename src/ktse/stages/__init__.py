"""The stages of a run: each reads the run folder, does one thing, writes the run folder."""
