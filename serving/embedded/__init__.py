"""A server of TensorFlow Serving's protocol for machines that do not have it: one core, a gRPC and a REST door."""
