"""What Butane has and Ignition has not, one module each: config in, config without that sugar out."""
