"""The pages of a table of image–text pairs."""
