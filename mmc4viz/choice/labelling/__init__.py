"""People's judgements: drawn, kept, and what follows from them about precision."""
