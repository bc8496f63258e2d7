"""The methods of the reference cases, as this package computes them: what the column `method` names -> (data set, inputs) -> number."""
