"""What a machine believes: signed metadata in, verified values out (The Update Framework, specification 1.0).

    verify      the rules, pure: bytes and a moment in, what is trusted out
    client      the order of the steps, over a cache and a server that are given to it
    releases    a channel's document and an image's index, of an Orlop release repository
    cache http  the rims: a folder, and a web server
    errors      what can go wrong

Why our own client on tuf's formats: tuf's takes the clock itself, brings an HTTP library, and keeps what it loaded once
for another delegator. Formats, canonical JSON and signatures are tuf's and securesystemslib's.

Lifetime: a check of the repository starts from the root keys in the image and from the cache, and reads the clock once.
Invariant: what is in the cache was verified when it was put there, is verified again whenever it is used, and is never
replaced by something older, whatever a server sends.
"""
