"""One HTTP request, its retries within a deadline, and what the response means; the only room that knows httpx."""
