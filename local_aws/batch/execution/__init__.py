"""How attempts run on this machine, and what is told of them."""
