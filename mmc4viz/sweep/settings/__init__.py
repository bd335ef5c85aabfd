"""What other settings than the threshold do."""
