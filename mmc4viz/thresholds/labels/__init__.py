"""Labels: drawing pairs, storing judgements, estimating precision."""
