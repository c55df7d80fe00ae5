"""Routes, and what stands before them."""
