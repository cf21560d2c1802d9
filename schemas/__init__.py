"""What is on disk: ids, columns, manifest, errors. Imports nothing of the other packages."""
