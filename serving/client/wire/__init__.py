"""Carries one request over gRPC or REST and reads the answer."""
