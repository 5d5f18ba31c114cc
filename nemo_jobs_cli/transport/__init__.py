"""HTTP requests, retries and responses; the only room with httpx."""
