"""What is published: an image's index, a channel's document, and what follows for a machine that reads it."""
