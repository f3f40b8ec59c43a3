"""The local page where a person looks at masks, corrects and accepts them; no torch."""
