"""One module per cloud: build the token request, read the answer."""
