"""`orlop node`: one machine."""
