"""Settings, manifests, training flags and reports."""
