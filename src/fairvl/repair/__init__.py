"""What fixes a bias that was measured: operators on embeddings, and (later) data, captions, images, training."""
