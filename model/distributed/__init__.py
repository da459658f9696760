"""Where training computes: strategies, clusters, and workers on this machine."""
