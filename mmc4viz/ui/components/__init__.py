"""Custom components that draw in the browser."""
