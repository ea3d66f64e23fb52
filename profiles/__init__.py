"""What is measured: the data, the device, the budget, a model's cost. Facts, no opinions."""
