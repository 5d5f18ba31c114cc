"""A credential becomes request headers, only for the origin it belongs to."""
