"""The vocabulary that every other part uses: no file, no scenario, no disk."""
