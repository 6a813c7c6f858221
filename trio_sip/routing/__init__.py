"""What a routes file sees: the router, requests, responses, pseudo-variables; and how routes files are loaded."""
