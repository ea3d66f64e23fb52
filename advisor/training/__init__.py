"""How a network is trained: its settings, where batches come from, the losses and the loop."""
