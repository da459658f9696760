"""The network: cells, the fused LSTM, layers from ids to logits."""
