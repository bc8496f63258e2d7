"""Declared, run, remembered: scenario files, simulation in blocks, truth, and the store of results."""
