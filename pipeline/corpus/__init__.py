"""From what was typed to documents."""
