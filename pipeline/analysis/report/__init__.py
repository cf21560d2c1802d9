"""Only draws what analysis measured."""
