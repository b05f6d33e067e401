"""What a training run can optimise: the autoencoder, or the editor (base and experts)."""
