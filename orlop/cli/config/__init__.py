"""`orlop config`: configurations, from Butane to what a machine makes of them."""
