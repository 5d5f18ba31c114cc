"""One HTTP request, its retries within a deadline, and what the answer means; the only room that knows httpx."""
