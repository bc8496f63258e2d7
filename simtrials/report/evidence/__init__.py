"""Faces of runs of bodies of evidence."""
