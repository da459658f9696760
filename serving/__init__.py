"""Serves exported models over the protocol of TensorFlow Serving, and calls them."""
