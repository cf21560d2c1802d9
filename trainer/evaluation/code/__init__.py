"""Problems, completions, sandbox, scores."""
