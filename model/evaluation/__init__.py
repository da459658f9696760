"""Measures models, and texts, on what they were not trained on."""
