"""Faces of the planning questions."""
