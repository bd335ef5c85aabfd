"""What the dashboard remembers: saved settings, accepted suggestions and notes."""
