"""From columns to exact statistics at every threshold."""
