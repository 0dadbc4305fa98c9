"""From an image to a release: blobs, patches, the list of what is in it."""
