"""Starting over: what a factory reset keeps."""
