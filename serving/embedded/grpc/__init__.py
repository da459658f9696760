"""gRPC in front of the core."""
