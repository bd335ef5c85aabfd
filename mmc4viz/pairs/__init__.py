"""Tables of image–text pairs: what every threshold of one or two scores keeps, exactly."""
