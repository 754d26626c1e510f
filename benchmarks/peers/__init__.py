"""What we are measured against, each served as its users would: the smallest service with our SendMessage."""
