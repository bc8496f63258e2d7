"""Bodies of evidence declared, run and remembered."""
