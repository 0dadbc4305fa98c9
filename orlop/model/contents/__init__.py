"""What is in an image: its components with their licences, its files, and what differs between two."""
