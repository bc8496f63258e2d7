"""The methods: pure functions, arrays in, arrays out."""
