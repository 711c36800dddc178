"""The diffusion autoencoder: an image as a semantic code and the noise that the code leaves open."""
