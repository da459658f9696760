"""TensorFlow Serving's REST protocol in front of the core."""
