"""Text to symbols and back, a folder for each that has parts."""
