"""EvaByte, its heads, its memory, its export."""
