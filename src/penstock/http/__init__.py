"""How HTTP looks everywhere: faces of errors, framing of streams, limits of requests, origins."""
