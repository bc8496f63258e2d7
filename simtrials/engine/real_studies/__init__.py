"""Real study results from a file: which numbers each row has, one row per randomised patient, effect sizes, meta-analyses."""
