"""What becomes of many trials: studies, what each of them finds, what is reported and extracted of it, and how it is synthesized."""
