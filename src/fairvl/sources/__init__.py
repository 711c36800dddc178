"""What comes in: models, data, prompts, stored vectors, and the built-in world."""
