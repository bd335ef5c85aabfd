"""Labels of rows of a table of image–text pairs: drawn by score, and precision from them."""
