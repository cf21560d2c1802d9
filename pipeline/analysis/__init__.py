"""What the compressors do to text: stability, collisions, statistics, and the report that shows them."""
