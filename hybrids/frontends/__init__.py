"""Front ends: from a raw stream to tokens."""
