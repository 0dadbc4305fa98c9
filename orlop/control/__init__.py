"""The control plane: what runs beside the machines and advises them. Nothing here is needed by a machine to go on.

releases    the signed repository of versions and channels
"""
