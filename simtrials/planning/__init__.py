"""The questions of a planner: how many, whom, how sure. Each simulates one scenario at many values of its fields."""
