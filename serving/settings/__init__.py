"""What a server is told: the flags of tensorflow_model_server and the configuration files they name."""
