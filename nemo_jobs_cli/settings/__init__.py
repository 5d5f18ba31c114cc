"""Where each setting comes from; the only room that reads the environment."""
