"""Labels: sample pairs, store answers, estimate precision."""
