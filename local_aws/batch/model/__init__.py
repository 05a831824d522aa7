"""What a request may ask for, and what is made of it."""
