"""One file an area of the route table: read the request, call a use-case, show its answer."""
