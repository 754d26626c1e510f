"""What the service is about, free of wire formats, databases and sockets: chats, files, faults and ports."""
