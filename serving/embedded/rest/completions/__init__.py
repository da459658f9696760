"""Completions as the clients of OpenAI's API ask for them: charflow's own, which TensorFlow Serving does not have."""
