"""What our own services borrow from MiniStack: one module for each thing."""
