"""The tests of charflow, in the rooms of the code."""
