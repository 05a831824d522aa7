"""How attempts run on this machine, and the events about them."""
