"""What a verb does around the pipeline: locking, looking before use, saying what comes next."""
