"""Real trials from files: the same analyses as for simulated ones, and a course fitted to them."""
