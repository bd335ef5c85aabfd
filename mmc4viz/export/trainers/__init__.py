"""The chosen documents in the formats of today's trainers."""
