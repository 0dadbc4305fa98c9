"""`orlop release`: the signed repository that machines are updated from."""
