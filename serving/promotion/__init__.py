"""Moves labels of a served model between versions, after comparing them."""
