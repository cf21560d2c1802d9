"""One run from settings to manifest."""
