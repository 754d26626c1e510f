"""Who may do what: agents, their passwords and their sessions."""
