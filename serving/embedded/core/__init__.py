"""The server without a transport: models, versions, tensors in and out."""
