"""The only training loop, and the batches that go into it."""
