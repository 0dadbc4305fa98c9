"""What a machine has beyond its image and its configuration."""
